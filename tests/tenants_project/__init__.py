"""A project with django-tenants: each tenant's tables are in a schema of PostgreSQL of its own."""
