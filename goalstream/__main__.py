"""`python -m goalstream` and the console script."""

from goalstream.cli import main

if __name__ == "__main__":
    main()
