"""``GET /oauth/authorize`` and ``POST /oauth/token`` of the fake."""

from __future__ import annotations

import hmac
from typing import Any
from urllib.parse import urlencode

from thanksio_connect.testing.faults import Fault
from thanksio_connect.testing.grants import Pair
from thanksio_connect.testing.pages import consent_reply, unknown_client_reply
from thanksio_connect.testing.provider import Provider
from thanksio_connect.testing.records import RequestRecord
from thanksio_connect.testing.refusals import Dialect, Refused, refusal
from thanksio_connect.testing.replies import Reply, json_reply, redirect_reply

_NO_STORE = {
    "Pragma": "no-cache",
    "Cache-Control": "no-store",
    "Content-Type": "application/json; charset=UTF-8",
}


class OAuthEndpoints:
    """The client, its credentials and redirect URIs, and the user who is signed in at the fake.

    With ``auto_allow`` the user's answer is there at once: ``user_answer``, ``"allow"`` or ``"deny"``. Without it a
    page asks whoever sits in front of the browser.

    The attributes may be changed while the server runs: another ``client_secret`` makes every request fail
    with ``invalid_client``. ``redirect_uris`` None accepts any.
    """

    def __init__(
        self,
        provider: Provider,
        *,
        dialect: Dialect,
        client_id: str,
        client_secret: str,
        redirect_uris: list[str] | None,
        user_id: str,
        auto_allow: bool,
    ) -> None:
        self.provider = provider
        self.dialect = dialect
        self.client_id = client_id
        self.client_secret = client_secret
        self.redirect_uris = redirect_uris
        self.user_id = user_id
        self.user_answer = "allow"
        self.auto_allow = auto_allow

    def authorize(self, record: RequestRecord) -> Reply:
        """Ask the signed-in user, or answer at once for them (RFC 6749 4.1.1 and 4.1.2)."""
        query = record.query
        if query.get("client_id") != self.client_id or not self._may_redirect(query.get("redirect_uri", "")):
            return self._refuse_client(record)  # never redirect to where nobody registered
        if query.get("response_type") != "code":
            return self._refuse(record, "unsupported_grant_type")
        if self.auto_allow:
            return self._answer(record, self.user_answer)
        if record.form.get("answer") in ("allow", "deny"):
            return self._answer(record, record.form["answer"])
        record.outcome = "asked"
        return consent_reply(record.path, query)

    def _refuse_client(self, record: RequestRecord) -> Reply:
        reply = self._refuse(record, "invalid_client")
        if self.auto_allow:
            return reply
        return unknown_client_reply(reply.status, record.query.get("client_id", ""), self.client_id)

    def _answer(self, record: RequestRecord, user_answer: str) -> Reply:
        """Send the browser back with the user's answer."""
        query = record.query
        redirect_uri = query["redirect_uri"]
        answer: dict[str, Any] = {"state": query["state"]} if "state" in query else {}
        record.user_id = self.user_id
        if user_answer == "deny":
            record.outcome = "denied"
            answer |= {
                "error": "access_denied",
                "error_description": "The resource owner or authorization server denied the request.",
                "hint": "The user denied the request",
            }
            if self.dialect == "league8":
                answer["message"] = answer["error_description"]
        else:
            code = self.provider.authorize(
                client_id=self.client_id,
                user_id=self.user_id,
                redirect_uri=redirect_uri,
                scope=query.get("scope", ""),
                code_challenge=query.get("code_challenge") or None,
                code_challenge_method=query.get("code_challenge_method", "plain"),
            )
            record.outcome = "ok"
            answer = {"code": code.value, **answer}
        return redirect_reply(redirect_uri + ("&" if "?" in redirect_uri else "?") + urlencode(answer))

    def token(self, record: RequestRecord, fault: Fault | None) -> Reply:
        """Answer a token request; the pair that it gave out, if any, is left in ``record.pair``."""
        try:
            pair = self._grant(record, fault or Fault())
        except Refused as refused:
            return self._refuse(record, refused.code)
        record.outcome = "ok"
        record.pair = pair
        record.grant_id, record.user_id = pair.access.grant.id, pair.access.grant.user_id
        return json_reply(self._token_body(pair, fault or Fault()), headers=_NO_STORE)

    def identify(self, record: RequestRecord) -> None:
        """Note whose request this is, so that faults can be planned for one grant. Changes nothing."""
        token = self.provider.find(record.form.get("refresh_token", "") or record.access_token or "")
        if token is not None:
            record.grant_id, record.user_id = token.grant.id, token.grant.user_id

    def refuse(self, record: RequestRecord, code: str) -> Reply:
        """Refuse without looking at the request, as a fault orders."""
        return self._refuse(record, code)

    def _grant(self, record: RequestRecord, fault: Fault) -> Pair:
        form = record.form
        grant_type = form.get("grant_type")
        if grant_type not in ("authorization_code", "refresh_token"):
            raise Refused("unsupported_grant_type")
        self._authenticate(form.get("client_id", ""), form.get("client_secret", ""))
        with_refresh_token = "refresh_token" not in fault.omit
        if grant_type == "refresh_token":
            if not form.get("refresh_token"):
                raise Refused("missing_refresh_token")
            return self.provider.refresh(
                form["refresh_token"],
                client_id=self.client_id,
                keep_refresh_token=not with_refresh_token,
                token_length=fault.token_length,
            )
        if not form.get("code"):
            raise Refused("missing_code")
        return self.provider.exchange(
            form["code"],
            client_id=self.client_id,
            redirect_uri=form.get("redirect_uri"),
            code_verifier=form.get("code_verifier"),
            with_refresh_token=with_refresh_token,
            token_length=fault.token_length,
        )

    def _authenticate(self, client_id: str, client_secret: str) -> None:
        if not client_id:
            raise Refused("missing_client_id")
        if client_id != self.client_id:
            raise Refused("invalid_client")
        if not client_secret:
            raise Refused("missing_client_secret")
        if not hmac.compare_digest(client_secret.encode(), self.client_secret.encode()):
            raise Refused("invalid_client")

    def _token_body(self, pair: Pair, fault: Fault) -> dict[str, Any]:
        body: dict[str, Any] = {
            "token_type": "Bearer",
            "expires_in": round(pair.access.expires_at - self.provider.clock()),
            "access_token": pair.access_token,
        }
        if pair.refresh_token is not None:
            body["refresh_token"] = pair.refresh_token
        body |= fault.reply
        return {name: value for name, value in body.items() if name not in fault.omit}

    def _may_redirect(self, redirect_uri: str) -> bool:
        return bool(redirect_uri) and (self.redirect_uris is None or redirect_uri in self.redirect_uris)

    def _refuse(self, record: RequestRecord, code: str) -> Reply:
        record.outcome = code
        status, body = refusal(code, self.dialect)
        return json_reply(body, status)
