"""Connect a Django project's users to their own thanks.io accounts, and keep them connected."""
