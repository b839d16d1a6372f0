"""One request from arrival to reply: log it, take its fault, let the provider act or not, answer or not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from thanksio_connect.testing.api_endpoints import PREFIX, APIEndpoints
from thanksio_connect.testing.faults import Fault, FaultPlan
from thanksio_connect.testing.oauth_endpoints import OAuthEndpoints
from thanksio_connect.testing.pages import PATHS, Pages
from thanksio_connect.testing.records import RequestLog, RequestRecord
from thanksio_connect.testing.replies import Reply, json_reply, ordered_reply
from thanksio_connect.testing.wire import ConnectionDropped, Handler

AUTHORIZE_PATH: Final = "/oauth/authorize"
TOKEN_PATH: Final = "/oauth/token"  # noqa: S105 - a path

_TOKEN_MEMBERS = {"access_token", "refresh_token"}


class Dispatcher:
    """Answers requests. ``errors`` keeps what failed inside the fake or in a callable given to it."""

    def __init__(
        self, oauth: OAuthEndpoints, api: APIEndpoints, pages: Pages, log: RequestLog, faults: FaultPlan
    ) -> None:
        self.oauth = oauth
        self.api = api
        self.pages = pages
        self.log = log
        self.faults = faults
        self.errors: list[Exception] = []
        self.control: Callable[[dict[str, Any]], Reply] | None = None

    def respond(self, handler: Handler) -> None:
        """Serve one request. The log is complete before the client can see the reply."""
        facts = handler.read_facts()
        if self.control is not None and facts["path"].startswith("/_control/"):
            handler.send(self.control(facts), None)
            return
        record = self.log.arrive(target=_target(facts["path"]), **facts)
        fault: Fault | None = None
        try:
            self.oauth.identify(record)
            fault = self.faults.take(record)
            record.fault = fault.label if fault else None
            reply = self._act(handler, record, fault)
        except ConnectionDropped:
            raise
        except Exception as error:  # noqa: BLE001 - kept, and raised when the fake is closed
            self.errors.append(error)
            record.outcome, fault, reply = "crashed", None, json_reply({"message": "The fake failed"}, 500)
        lost = fault is not None and fault.lose_reply is not None
        self._close(record, "lost" if lost else "sent", reply.status)
        try:
            handler.send(reply, fault)
        except ConnectionDropped:
            if not lost:
                self._close(record, "aborted", None)
            raise

    def _act(self, handler: Handler, record: RequestRecord, fault: Fault | None) -> Reply:
        if fault is None:
            return self._endpoint(record, None)
        self._wait(handler, record, fault.delay)
        if fault.hold == "before":
            fault.stand()
        if fault.lose_reply == "before":
            self._lose(handler, record, reset=fault.reset)
        reply = self._faulty_reply(record, fault)
        self._wait(handler, record, fault.delay_reply)
        if fault.hold == "after":
            fault.stand()
        return reply

    def _faulty_reply(self, record: RequestRecord, fault: Fault) -> Reply:
        if fault.refuse is not None:
            return self.oauth.refuse(record, fault.refuse)
        if fault.replaces_reply and not fault.processed:
            record.outcome = "not_processed"
            return ordered_reply(fault)
        reply = self._endpoint(record, fault)
        if record.pair is not None and (fault.replaces_reply or _TOKEN_MEMBERS & fault.reply.keys()):
            record.pair.reply = "replaced"
        return ordered_reply(fault) if fault.replaces_reply else reply

    def _endpoint(self, record: RequestRecord, fault: Fault | None) -> Reply:
        if record.target == "token":
            if record.method == "POST":
                return self.oauth.token(record, fault)
        elif record.target == "authorize":
            if record.method == "GET" or (record.method == "POST" and not self.oauth.auto_allow):
                return self.oauth.authorize(record)
        elif record.target == "page":
            if record.method in ("GET", "HEAD", "POST"):
                return self.pages.answer(record)
        elif record.target == "api":
            return self.api.answer(record)
        else:
            record.outcome = "not_found"
            return json_reply({"message": "Not Found"}, 404)
        record.outcome = "method_not_allowed"
        return json_reply({"message": f"The {record.method} method is not supported for this route."}, 405)

    def _wait(self, handler: Handler, record: RequestRecord, seconds: float) -> None:
        """Wait; a server that is stopped meanwhile closes the connection."""
        if handler.server.stopping.wait(seconds):
            self._lose(handler, record)

    def _lose(self, handler: Handler, record: RequestRecord, *, reset: bool = False) -> None:
        if record.outcome == "pending":
            record.outcome = "not_processed"
        self._close(record, "lost", None)
        handler.drop(reset=reset)

    def _close(self, record: RequestRecord, reply: str, status: int | None) -> None:
        if record.pair is not None and record.pair.reply != "replaced":
            record.pair.reply = reply
        self.log.finish(record, reply, status if reply == "sent" else None)


def _target(path: str) -> str:
    if path == TOKEN_PATH:
        return "token"
    if path == AUTHORIZE_PATH:
        return "authorize"
    if path in PATHS:
        return "page"
    return "api" if path.startswith(PREFIX + "/") else "other"
