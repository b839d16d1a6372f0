"""Connections from another app's tables: read there, written here, and nothing else is touched."""
