"""Services for tests, by tier: a URL in the environment, Docker, this machine's own programs, embedded."""
