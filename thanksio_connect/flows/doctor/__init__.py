"""Can this installation work? Probes that change nothing, spend no refresh token and show no secret."""
