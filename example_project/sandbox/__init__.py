"""A stand-in for thanks.io: an OAuth server and the API that the product calls. Nothing is mailed."""
