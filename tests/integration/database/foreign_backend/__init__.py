"""A database backend with a pool or a wrapper of somebody else's, which raises exceptions of its own."""
