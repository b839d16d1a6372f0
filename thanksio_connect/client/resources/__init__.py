"""thanks.io's API v2, one module a resource. Adding an operation is one method in one of them."""
