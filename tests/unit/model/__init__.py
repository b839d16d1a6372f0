"""An in-memory row, provider and clock that drive the real protocol through every interleaving."""
