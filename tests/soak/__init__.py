"""A long seeded run of everything at once, and the check against the provider's own records."""
