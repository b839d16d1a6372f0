"""What a failure's code means for an operator: a few words, what happened, and the cure."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from ..exceptions import NotConnected, RefreshInProgress, ThanksIOConfigurationError, ThanksIOError

Words = str | Promise


@dataclass(frozen=True)
class Diagnosis:
    """``short`` fits into a column; ``what`` and ``cure`` are sentences."""

    short: Words
    what: Words
    cure: Words


_ASK_THE_OWNER = _("Ask the owner to connect again.")
_TRIED_AGAIN = _("Nothing to do at first: it is tried again by itself, with growing pauses.")
_ASK_THE_DOCTOR = _(
    "It is tried again by itself. If it goes on, run manage.py thanksio_doctor on the server: it names the cause."
)
_UNCLEAR = _("thanks.io was asked and gave no usable answer. It may have replaced the tokens already.")

DIAGNOSES: dict[str, Diagnosis] = {
    "invalid_grant": Diagnosis(
        _("Access ended at thanks.io"),
        _("thanks.io no longer accepts this connection: its owner took the access away there, or it has expired."),
        _ASK_THE_OWNER,
    ),
    "lost_reply": Diagnosis(
        _("Answer was lost"),
        _("thanks.io replaced the tokens, but its answer with the new ones never arrived. The old ones are dead."),
        _(
            "Ask the owner to connect again. If it happens to several, look for time-outs between this site and "
            "thanks.io, and for processes that are killed."
        ),
    ),
    "other_client": Diagnosis(
        _("Given to another client ID"),
        _("thanks.io gave these tokens to another OAuth client: they were imported, or this site's client ID changed."),
        _(
            "If THANKSIO_CLIENT_ID was changed by mistake, put the old one back and refresh. Otherwise ask the owner "
            "to connect again."
        ),
    ),
    "no_refresh_token": Diagnosis(
        _("Can't be renewed"),
        _("thanks.io gave no token to renew this connection with. It works until its access token expires."),
        _ASK_THE_OWNER,
    ),
    "no_tokens": Diagnosis(
        _("No tokens"),
        _("The connection has no tokens: it was made by hand, or loaded from half of a backup."),
        _ASK_THE_OWNER,
    ),
    "undecryptable": Diagnosis(
        _("Tokens can't be decrypted"),
        _("The stored tokens don't fit this server's encryption key, or thanks.io can't read what they contain."),
        _(
            "Put the right key back into FIELD_ENCRYPTION_KEY. Nothing was overwritten: with it these connections work "
            "again. If the key is right, check THANKSIO_TOKEN_URL."
        ),
    ),
    "not_sent": Diagnosis(
        _("thanks.io not reached"),
        _("thanks.io could not be reached. Nothing was sent, so nothing was lost."),
        _ASK_THE_DOCTOR,
    ),
    "outcome_unknown": Diagnosis(_("No answer"), _UNCLEAR, _ASK_THE_DOCTOR),
    "timeout": Diagnosis(
        _("Answer took too long"),
        _("thanks.io was asked and did not answer in time. It may have replaced the tokens already."),
        _(
            "It is tried again by itself. If it happens to many, check the network, and don't set "
            "THANKSIO_READ_TIMEOUT_SECONDS lower than 30."
        ),
    ),
    "too_large": Diagnosis(_("Answer too large"), _UNCLEAR, _ASK_THE_DOCTOR),
    "server_error": Diagnosis(
        _("Error at thanks.io"),
        _("thanks.io reported an error of its own. It may have replaced the tokens already."),
        _TRIED_AGAIN,
    ),
    "throttled": Diagnosis(
        _("thanks.io asked to wait"),
        _("thanks.io had too many requests, and said when it wants the next one."),
        _("Nothing to do: it is tried again at that time. If it happens often, lower THANKSIO_RATE_LIMIT_PER_MINUTE."),
    ),
    "unavailable": Diagnosis(
        _("thanks.io unavailable"),
        _("thanks.io was too busy, or out of service."),
        _TRIED_AGAIN,
    ),
    "invalid_token_response": Diagnosis(
        _("Answer without tokens"),
        _("thanks.io's address answered, but without usable tokens: perhaps a proxy's page, or a changed service."),
        _ASK_THE_DOCTOR,
    ),
    "redirect": Diagnosis(
        _("Sent elsewhere"),
        _("thanks.io's address sent the request elsewhere, which is not followed."),
        _("Check THANKSIO_TOKEN_URL, and whether a proxy on the way wants a login."),
    ),
    "invalid_request": Diagnosis(
        _("Request refused"),
        _("thanks.io did not understand the request."),
        _ASK_THE_DOCTOR,
    ),
    "access_denied": Diagnosis(
        _("Request refused"),
        _("thanks.io refused the request."),
        _ASK_THE_DOCTOR,
    ),
    "invalid_scope": Diagnosis(
        _("Request refused"),
        _("thanks.io refused the request."),
        _ASK_THE_OWNER,
    ),
    "unexpected_error": Diagnosis(
        _("Error on this site"),
        _("This site's own software failed while thanks.io was asked."),
        _("It is tried again by itself. If it goes on, give the developers the log of that time."),
    ),
}


def diagnosis_of(code: str) -> Diagnosis:
    """Return what a code of ``last_error_code`` means; something true for one that nobody has foreseen."""
    if known := DIAGNOSES.get(code):
        return known
    if code.startswith("http_"):
        status = code.removeprefix("http_")
        return Diagnosis(
            _("HTTP %(status)s") % {"status": status},
            _("thanks.io's address, or a proxy before it, answered with HTTP %(status)s instead of tokens.")
            % {"status": status},
            _ASK_THE_DOCTOR,
        )
    return Diagnosis(code, _("The renewal failed (%(code)s).") % {"code": code}, _ASK_THE_DOCTOR)


_IN_PROGRESS = Diagnosis(
    _("Being refreshed"), _("This connection is being refreshed elsewhere just now."), _("Look again in a minute.")
)
_GONE = Diagnosis(_("Disconnected"), _("This connection was removed meanwhile."), "")


def diagnosis_of_error(error: ThanksIOError | ThanksIOConfigurationError) -> Diagnosis:
    """Return what an error of the engine means."""
    if isinstance(error, RefreshInProgress):
        return _IN_PROGRESS
    if isinstance(error, NotConnected):
        return _GONE
    if isinstance(error, ThanksIOConfigurationError):
        return Diagnosis(_("Configuration"), str(error), _("Until that is put right, no connection can be refreshed."))
    return diagnosis_of("invalid_grant" if error.code == "reconnect_required" else error.code)
