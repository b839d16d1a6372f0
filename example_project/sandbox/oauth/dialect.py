"""Token endpoint answers as league/oauth2-server 9 words them (``OAuthServerException``, grant classes).

django-oauth-toolkit decides; this module says it in the other server's words (RFC 6749 5.1 and 5.2).
"""

import hashlib
from collections.abc import Mapping

from oauth2_provider.models import get_grant_model, get_refresh_token_model

Answer = tuple[int, dict[str, object]]

INVALID_GRANT = (
    "The provided authorization grant (e.g., authorization code, resource owner credentials) or "
    "refresh token is invalid, expired, revoked, does not match the redirection URI used in the "
    "authorization request, or was issued to another client."
)
INVALID_REQUEST = (
    "The request is missing a required parameter, includes an invalid parameter value, "
    "includes a parameter more than once, or is otherwise malformed."
)
REQUIRED = {"authorization_code": ("code", "redirect_uri"), "refresh_token": ("refresh_token",)}
SUCCESS_MEMBERS = ("token_type", "expires_in", "access_token", "refresh_token")


def success(body: Mapping[str, object]) -> dict[str, object]:
    """Passport's four members, in its order, and no ``scope``."""
    return {name: body[name] for name in SUCCESS_MEMBERS if name in body}


def failure(form: Mapping[str, str], error: str) -> Answer:
    """The answer to a token request that was refused with ``error``; looks up what became of the grant."""
    if error == "invalid_client":
        return 401, _body(error, "Client authentication failed")
    if error == "unauthorized_client":
        return 400, _body(error, "The authenticated client is not authorized to use this grant type.")
    if error == "unsupported_grant_type" or form.get("grant_type") not in REQUIRED:
        return 400, _body(
            "unsupported_grant_type",
            "The authorization grant type is not supported by the authorization server.",
            "Check that all required parameters have been provided",
        )
    for required in REQUIRED[form["grant_type"]]:
        if not form.get(required):
            return 400, _bad_request(required)
    if form["grant_type"] == "refresh_token":
        return 400, _body("invalid_grant", "The refresh token is invalid.", _refresh_hint(form))
    return 400, _code_failure(form)


def _body(error: str, description: str, hint: str | None = None) -> dict[str, object]:
    body: dict[str, object] = {"error": error, "error_description": description}
    return body if hint is None else body | {"hint": hint}


def _bad_request(parameter: str) -> dict[str, object]:
    return _body("invalid_request", INVALID_REQUEST, f"Check the `{parameter}` parameter")


def _refresh_hint(form: Mapping[str, str]) -> str:
    checksum = hashlib.sha256(form["refresh_token"].encode()).hexdigest()
    row = get_refresh_token_model().objects.filter(token_checksum=checksum).first()
    if row is None:
        return "Cannot decrypt the refresh token"
    if row.application.client_id != form.get("client_id"):
        return "Token is not linked to client"
    return "Token has been revoked"


def _code_failure(form: Mapping[str, str]) -> dict[str, object]:
    grant = get_grant_model().objects.filter(code=form["code"]).first()
    if grant is None:
        return _body("invalid_grant", INVALID_GRANT, "Authorization code has been revoked")
    if grant.is_expired():
        return _body("invalid_grant", INVALID_GRANT, "Authorization code has expired")
    if grant.application.client_id != form.get("client_id"):
        return _bad_request("code")
    if grant.redirect_uri != form["redirect_uri"]:
        return _bad_request("redirect_uri")
    if grant.code_challenge and not form.get("code_verifier"):
        return _bad_request("code_verifier")
    return _body("invalid_grant", INVALID_GRANT, "Failed to verify `code_verifier`.")
