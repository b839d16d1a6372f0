"""What the product tells its users when thanks.io, the network or the site's own settings get in the way."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from thanksio_connect.exceptions import (
    InvalidRequest,
    NotConnected,
    NotFound,
    NotSent,
    OutcomeUnknown,
    PaymentRequired,
    RateLimited,
    ReconnectRequired,
    SendOnceRefused,
    ServerError,
    ThanksIOConfigurationError,
    ThanksIOError,
    Throttled,
    TokenUndecryptable,
    Unauthorized,
)

logger = logging.getLogger(__name__)

EXPECTED = (ThanksIOError, ThanksIOConfigurationError)
THANKSIO_BILLING_URL = "https://dashboard.thanks.io/"


@dataclass(frozen=True)
class Failure:
    """One sentence on what happened, one on what to do. ``action`` names the button that the page offers."""

    title: str
    text: str
    status: int
    tone: Literal["info", "warning", "problem"] = "problem"
    action: Literal["", "connect", "retry", "billing", "orders"] = ""


def explain(error: Exception) -> Failure:
    """The failure that a page shows for ``error``. The operator's causes go to the log, never to the user."""
    match error:
        case NotConnected():
            return Failure(
                _("Connect thanks.io first"),
                _("Postlight prints and mails through your own thanks.io account. Connecting takes a minute."),
                409,
                "info",
                "connect",
            )
        case ReconnectRequired():
            return Failure(
                _("Your thanks.io connection needs you"),
                _("thanks.io no longer accepts it. Connect again; your drafts and orders are all still here."),
                409,
                "warning",
                "connect",
            )
        case PaymentRequired():
            return Failure(
                _("thanks.io asks you to settle a payment"),
                _("Nothing was sent or charged, and your connection is fine. Settle it at thanks.io, then try again."),
                402,
                "warning",
                "billing",
            )
        case RateLimited() | Throttled():
            return Failure(_("That was a little fast"), _wait(error.retry_after), 429, "warning", "retry")
        case SendOnceRefused() | OutcomeUnknown(retryable=False):
            return Failure(
                _("We can't settle this for you"),
                _("Look for the postcard among your orders at thanks.io. If it is not there, write it anew."),
                409,
                "warning",
                "orders",
            )
        case OutcomeUnknown() | ServerError():
            return Failure(
                _("thanks.io did not answer"),
                _("We can't show this right now. Nothing was sent or changed by looking; try again in a moment."),
                502,
                "problem",
                "retry",
            )
        case NotSent():
            return Failure(
                _("thanks.io can't be reached"),
                _("Nothing was sent and nothing was charged. Try again in a moment."),
                502,
                "problem",
                "retry",
            )
        case NotFound() | Unauthorized():
            return Failure(
                _("We can't find that order"),
                _("It isn't among the orders of the thanks.io account that you are connected to."),
                404,
                "info",
                "orders",
            )
        case InvalidRequest():
            return Failure(
                _("thanks.io did not accept this"),
                error.message or _("It gave no reason. Check what you entered, then try again."),
                422,
            )
        case ThanksIOConfigurationError() | TokenUndecryptable():
            logger.error("thanks.io can't be used: %s", error)
            return Failure(
                _("Sending is not set up on this site"),
                _("This is ours to fix, and nothing of yours is lost. We have been told; please try again later."),
                503,
            )
    logger.warning("thanks.io refused a request: %s", error)
    return Failure(
        _("thanks.io could not do that"),
        _("Nothing was sent or charged. Try again in a moment."),
        502,
        "problem",
        "retry",
    )


def no_lists() -> Failure:
    """Nothing has failed, but there is nothing to choose from."""
    return Failure(
        _("No mailing list yet"),
        _("Your lists are kept at thanks.io. Put somebody on one there, and it can be chosen here."),
        200,
        "info",
        "billing",
    )


def _wait(retry_after: float | None) -> str:
    if not retry_after:
        return _("thanks.io asks to wait a moment. Nothing was sent or charged; try again shortly.")
    seconds = max(1, round(retry_after))
    return ngettext(
        "thanks.io asks to wait %(seconds)d second. Nothing was sent or charged.",
        "thanks.io asks to wait %(seconds)d seconds. Nothing was sent or charged.",
        seconds,
    ) % {"seconds": seconds}
