"""The refresh engine against real databases, real processes and a real HTTP server."""
