"""A user model of another kind: a UUID for a key, an e-mail address instead of a name, no permissions."""
