"""Other libraries on the same work, each used as its documentation tells, on the same database and provider.

Left out: django-esi, for it accepts no access token that EVE Online's own key set has not signed.
"""
