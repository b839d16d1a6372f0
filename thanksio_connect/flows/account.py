"""Which thanks.io account a new token belongs to, as well as that can be known.

thanks.io has no "who am I": what an account owns carries its ``user_id``; an empty account has none.
"""

from __future__ import annotations

import re
from typing import Any

from django.views.decorators.debug import sensitive_variables

from ..client.api import RetryPolicy, ThanksIOClient
from ..client.tokens import Secret, TokenSet
from ..client.transport import Transport, TransportConfig
from ..conf import app_settings
from ..exceptions import ReconnectRequired, ThanksIOConfigurationError, ThanksIOError
from ..records import record

# The user waits: an answer is welcome, not needed.
_TIME_BUDGET = TransportConfig(connect_timeout_seconds=1.0, read_timeout_seconds=2.0)
_USER_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")


class AsItIs:
    """A token as it is; a refused one is not renewed."""

    def __init__(self, token: Secret) -> None:
        self._token = token

    def get_access_token(self) -> str:
        return self._token.reveal()

    def renew(self, rejected_access_token: Secret) -> None:
        raise ReconnectRequired


@sensitive_variables()
def find_thanksio_user_id(token_set: TokenSet, user_id: Any = None) -> str:
    """The account's user id, or an empty string. Takes three seconds at most, and raises nothing of ours.

    ``user_id`` is the project's user, for the log.
    """
    try:
        client = ThanksIOClient(
            api_url=app_settings.api_url,
            transport=Transport(_TIME_BUDGET),
            tokens=AsItIs(Secret(token_set.access_token)),
            retries=RetryPolicy(attempts=1),
        )
        return _first_user_id(client.get("/mailing-lists/", params={"items_per_page": 1}))
    except (ThanksIOError, ThanksIOConfigurationError) as error:
        record("connection.account_unknown", user_id=user_id, code=type(error).__name__)
        return ""


def _first_user_id(body: Any) -> str:
    rows = body.get("data") if isinstance(body, dict) else None
    first = rows[0] if isinstance(rows, list) and rows else None
    value = first.get("user_id") if isinstance(first, dict) else None
    usable = isinstance(value, int | str) and not isinstance(value, bool) and _USER_ID.fullmatch(str(value))
    return str(value) if usable else ""
