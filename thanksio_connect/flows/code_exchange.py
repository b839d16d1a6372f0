"""From the code to the stored connection, whatever is raised into the thread meanwhile.

Once the code is sent, its tokens exist at thanks.io and nowhere else. A time limit, Ctrl-C or a worker's end is put off
until they are stored. Tokens that can't be stored are told of by a log record of level CRITICAL.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest
from django.views.decorators.debug import sensitive_variables

from ..client.interruption import Errand, find_interruption, is_interruption
from ..client.tokens import TokenSet
from ..exceptions import ThanksIOConfigurationError, ThanksIOError
from ..models import ThanksIOConnection
from ..records import record
from . import started
from .account import find_thanksio_user_id
from .response import AuthorizationResponse

T = TypeVar("T")
OWN_ERRORS = (ThanksIOError, ThanksIOConfigurationError, DatabaseError, InterfaceError)
# How many interruptions are put off: a timer that repeats must not hold the worker for ever.
INTERRUPTIONS = 10


class Interrupted(BaseException):
    """Carries an exception of somebody else's past every handler of ours; the view raises that."""

    def __init__(self, exception: BaseException) -> None:
        self.exception = exception
        super().__init__(type(exception).__name__)


class CodeExchange:
    """One code, exchanged once, and its tokens, stored once."""

    def __init__(self, request: HttpRequest, response: AuthorizationResponse, exchange: Callable[[], TokenSet]) -> None:
        self._request = request
        self._response = response
        self._errand = Errand(exchange)
        self._is_stored = False
        self._interruption: BaseException | None = None

    @sensitive_variables()
    def finish(self) -> ThanksIOConnection:
        """Return the stored connection.

        Raises the exchange's error or, after a CRITICAL log record, the database's. Raises :class:`Interrupted` once
        the tokens are stored, in place of whatever else there is to return or to raise.
        """
        outcome = self._put_off(self._connect)
        if self._interruption is not None:
            raise Interrupted(self._interruption)
        if isinstance(outcome, BaseException):
            raise outcome
        assert outcome is not None
        return outcome

    @sensitive_variables()
    def _connect(self) -> ThanksIOConnection | BaseException | None:
        """Await the tokens and store them; return the exchange's error. None: they stood already. Repeatable."""
        token_set = self._errand.wait()
        if not isinstance(token_set, TokenSet):
            started.forget(self._request, self._response.state_digest)
            return token_set
        if self._is_stored:  # and perhaps renewed since: what was stored must not be stored once more
            return None
        user: Any = self._request.user
        connection: ThanksIOConnection = ThanksIOConnection.objects.connect(
            user, token_set, thanksio_user_id=lambda: self._account(token_set)
        )
        return connection

    @sensitive_variables()
    def _account(self, token_set: TokenSet) -> str:
        """Whose account it is. Asked once the tokens are stored; the rest of the connecting is not interrupted."""
        self._is_stored = True
        try:
            return find_thanksio_user_id(token_set, self._request.user.pk)
        except BaseException as error:  # noqa: BLE001 - raised by finish()
            self._interruption = self._interruption or find_interruption(error) or error
            return ""

    def _put_off(self, step: Callable[[], T]) -> T:
        """Run a step to its end: again after an interruption, the first of which is remembered."""
        for _interruption in range(INTERRUPTIONS):
            try:
                return step()
            except BaseException as error:
                interruption = find_interruption(error)
                if interruption is None and isinstance(error, OWN_ERRORS):
                    raise
                # An exception of another kind may come from another thread, which leaves no trace in it.
                self._interruption = self._interruption or interruption or error
        assert self._interruption is not None
        words = {"interruption": type(self._interruption).__name__}
        user_id = self._request.user.pk
        record("tokens.lost:interrupted", words=words, connection_id=None, user_id=user_id, code="interrupted")
        raise Interrupted(self._interruption) if is_interruption(self._interruption) else self._interruption
