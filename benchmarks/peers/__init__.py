"""The same job written with other libraries, each as its own documentation advises: one program a module."""
