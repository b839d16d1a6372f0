"""The OAuth server: django-oauth-toolkit, speaking as league/oauth2-server (under Laravel Passport) does."""
