"""A project whose users have a model and an admin of their own: a UUID for a key, e-mail addresses for names."""
