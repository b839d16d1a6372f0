"""The part of thanks.io's API v2 that the product calls, in the shapes of its OpenAPI document."""
