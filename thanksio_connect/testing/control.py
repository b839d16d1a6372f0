"""``/_control/``: orders for a fake that runs in another process, guarded by a random key.

``POST /_control/<name>`` with a JSON object of arguments and the header ``X-Control-Key`` answers JSON. The
names are those of :class:`~thanksio_connect.testing.server.ThanksIOServer`'s methods.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Mapping
from typing import Any, Final

from thanksio_connect.testing.grants import Grant, Pair
from thanksio_connect.testing.replies import Reply, json_reply
from thanksio_connect.testing.server import ThanksIOServer

CONTROL_PATH: Final = "/_control/"


class Control:
    """Opens a server to orders over HTTP; ``key`` is what the sender must know."""

    def __init__(self, server: ThanksIOServer) -> None:
        self.key = secrets.token_urlsafe(24)
        self._server = server
        self._orders: dict[str, Callable[..., Any]] = {
            "issue": self._issue,
            "revoke": server.revoke,
            "expire_access_token": server.expire_access_token,
            "is_live": server.is_live,
            "cause_of_death": server.cause_of_death,
            "live_pair": lambda grant: _pair(server.live_pair(grant)),
            "grants": lambda: [_grant(grant) for grant in server.grants],
            "next_token": lambda **options: server.next_token(**options).label,
            "next_api": lambda **options: server.next_api(**options).label,
            "next_authorize": lambda **options: server.next_authorize(**options).label,
            "send_webhook": server.send_webhook,
            "clear_faults": server.faults.clear,
            "deny": server.deny,
            "allow": server.allow,
            "requests": lambda: [record.as_dict() for record in server.requests],
            "count": server.count,
        }
        server.dispatcher.control = self.answer

    def answer(self, facts: Mapping[str, Any]) -> Reply:
        """Carry out one order: 403 without the key, 404 for an unknown name, 400 for wrong arguments."""
        if not hmac.compare_digest(facts["headers"].get("x-control-key", "").encode(), self.key.encode()):
            return json_reply({"error": "X-Control-Key is missing or wrong"}, 403)
        order = self._orders.get(facts["path"].removeprefix(CONTROL_PATH))
        if order is None:
            return json_reply({"error": "No such order", "orders": sorted(self._orders)}, 404)
        try:
            return json_reply({"result": order(**(facts.get("json") or {}))})
        except (TypeError, ValueError, LookupError) as error:
            return json_reply({"error": f"{type(error).__name__}: {error}"}, 400)

    def _issue(self, **options: Any) -> dict[str, Any]:
        token_set = self._server.issue(**options)
        return {
            "grant": self._server.grant_of(token_set).id,
            "access_token": token_set.access_token,
            "refresh_token": token_set.refresh_token,
            "expires_at": token_set.expires_at.isoformat() if token_set.expires_at else None,
        }


def _pair(pair: Pair | None) -> dict[str, Any] | None:
    if pair is None:
        return None
    return {
        "number": pair.number,
        "access_token": pair.access_token,
        "refresh_token": pair.refresh_token,
        "reply": pair.reply,
    }


def _grant(grant: Grant) -> dict[str, Any]:
    return {
        "id": grant.id,
        "user_id": grant.user_id,
        "cause_of_death": grant.cause_of_death,
        "history": [[event.what, event.pair_number, event.at] for event in grant.history],
    }
