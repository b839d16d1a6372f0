"""A project without a usable key, which has a model of its own that django-encrypted-model-fields encrypts."""
