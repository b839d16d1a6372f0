"""The soak: worker processes under faults, kills, reconnects and disconnects, and the check of the invariants."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.db import DatabaseError, connection

from tests.integration.refresh import databases
from tests.integration.refresh.processes import Worker
from tests.soak.trace import Trace
from thanksio_connect.exceptions import ThanksIOError
from thanksio_connect.models import ThanksIOConnection
from thanksio_connect.testing import FakeThanksIO, Fault, Grant, RequestRecord

ACCESS_TOKEN_SECONDS = 2.0
LEASE_MARGIN_SECONDS = 1.5
CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS, TOO_LATE_SECONDS = 1.0, 3.0, 5.0
LEASE_SECONDS = CONNECT_TIMEOUT_SECONDS + READ_TIMEOUT_SECONDS + LEASE_MARGIN_SECONDS
AT_WORK_SECONDS = CONNECT_TIMEOUT_SECONDS + READ_TIMEOUT_SECONDS + 2.0  # a request, its answer, the store
BATCH = 30
PATIENCE_SECONDS = 120.0  # for a process of ours, on a machine that does much else

FAULTS: list[tuple[float, dict[str, Any]]] = [
    (0.30, {"delay": 0.03}),
    (0.04, {"delay_reply": 0.2}),
    (0.02, {"lose_reply": "before"}),
    (0.01, {"lose_reply": "after"}),
    (0.005, {"lose_reply": "midway"}),
    (0.02, {"refuse": "server_error"}),
    (0.01, {"status": 429, "retry_after": 0}),
    (0.01, {"status": 200, "body": "<html>", "headers": {"Content-Type": "text/html"}}),
    (0.01, {"refuse": "invalid_client"}),
    (0.004, {"delay_reply": TOO_LATE_SECONDS}),
    (0.01, {"omit": ["refresh_token"]}),
]


@dataclass
class Report:
    """What was done, and what must be 0."""

    seed: int
    operations: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def summary(self) -> str:
        facts = ", ".join(f"{name} {number}" for name, number in sorted(self.counts.items()))
        errors = ", ".join(f"{name} {number}" for name, number in sorted(self.errors.items()))
        return (
            f"soak: seed {self.seed}, {self.operations} operations; {facts}; raised: {errors or 'nothing'}; "
            f"violations {len(self.violations)}"
        )


class Soak:
    """One run. Kills and faults follow the seed; how the operating system interleaves the rest does not."""

    def __init__(
        self, database: dict[str, Any], *, seed: int, operations: int, processes: int, threads: int, users: int
    ) -> None:
        self.database = database
        self.operations = operations
        self.processes = processes
        self.threads = threads
        self.chance = random.Random(seed)
        self.fault_chance = random.Random(seed + 1)
        self.seed = seed
        self.report = Report(seed)
        self.killed: dict[int, float] = {}  # process id -> when
        self.asked: dict[int, float] = {}  # request number -> when
        self.stopped: list[tuple[int, float, float]] = []
        self.thanksio = FakeThanksIO(access_token_seconds=ACCESS_TOKEN_SECONDS)
        self.trace_folder = tempfile.TemporaryDirectory()
        self.trace = Trace(Path(self.trace_folder.name) / "trace")
        self.past_grants: list[tuple[int, str]] = []
        self.pks: dict[int, set[str]] = {}  # of a user's token rows
        self.users = [User.objects.create(username=f"soak-{number}") for number in range(users)]
        self.grants: dict[int, Grant] = {}

    def run(self) -> Report:
        with (
            self.thanksio as fake,
            fake.override_settings(
                THANKSIO_CONNECT_TIMEOUT_SECONDS=CONNECT_TIMEOUT_SECONDS,
                THANKSIO_READ_TIMEOUT_SECONDS=READ_TIMEOUT_SECONDS,
            ),
        ):
            for user in self.users:
                self.connect(user)
            fake.on_token(self.fault)
            workers = [self.start() for _number in range(self.processes)]
            try:
                self.drive(workers)
            finally:
                fake.faults.clear()
                for worker in workers:
                    self.leave(worker)
            time.sleep(
                LEASE_MARGIN_SECONDS + CONNECT_TIMEOUT_SECONDS + READ_TIMEOUT_SECONDS + 1.0
            )  # the last lease of a killed holder is over
            self.check()
        self.trace_folder.cleanup()
        return self.report

    # Doing

    def start(self) -> Worker:
        worker = Worker(self.database, orders="tests.soak.work,tests.integration.refresh.orders")
        worker.call("patch", lease_margin=LEASE_MARGIN_SECONDS, claim=LEASE_MARGIN_SECONDS / 2, looks=0.2)
        worker.call("trace", path=str(self.trace.path))
        return worker

    def leave(self, worker: Worker) -> None:
        """End the process; one that does not end is a violation, and tells where it stands."""
        assert worker.process.stdin
        with contextlib.suppress(BrokenPipeError):
            worker.process.stdin.close()
        try:
            worker.process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            worker.signal(signal.SIGUSR1)
            time.sleep(1.0)
            self.report.violations.append(f"process {worker.process.pid} does not end: {worker.log()}")
            worker.kill()
        worker.close()

    def begin(self, worker: Worker) -> None:
        size = min(BATCH, self.operations)
        self.operations -= size
        worker.begin(
            "work",
            seed=self.chance.randrange(2**31),
            operations=size,
            users=[user.pk for user in self.users],
            threads=self.threads,
        )

    def drive(self, workers: list[Worker]) -> None:
        for worker in workers:
            self.begin(worker)
        busy = set(range(len(workers)))
        while busy:
            time.sleep(self.chance.uniform(0.02, 0.1))
            for number in sorted(busy):
                if not workers[number].has_answered():
                    continue
                self.note(workers[number])
                if self.operations <= 0:
                    busy.discard(number)
                    continue
                if self.chance.random() < 0.25:
                    self.leave(workers[number])
                    workers[number] = self.start()
                self.begin(workers[number])
            if self.operations > 0:
                self.disturb(workers)
            self.heal()

    def note(self, worker: Worker) -> None:
        result = worker.end(PATIENCE_SECONDS)
        self.report.operations += result["done"]
        self.report.errors.update(result["errors"])
        self.report.counts["calls interrupted"] += result["interrupted"]
        self.report.violations += result["unexpected"]

    def disturb(self, workers: list[Worker]) -> None:
        event = self.chance.random()
        if event < 0.02:
            number = self.chance.randrange(len(workers))
            self.killed[workers[number].process.pid] = time.time()
            self.trace.write("-", f"kill process {workers[number].process.pid}")
            workers[number].kill()
            self.report.counts["processes killed"] += 1
            workers[number].close()
            workers[number] = self.start()
            self.begin(workers[number])
        elif event < 0.03:
            worker = self.chance.choice(workers)
            began = time.time()
            self.trace.write("-", f"stop process {worker.process.pid}")
            worker.signal(signal.SIGSTOP)
            time.sleep(self.chance.choice([0.2, 1.0, 6.0]))
            worker.signal(signal.SIGCONT)
            self.stopped.append((worker.process.pid, began, time.time()))
            self.report.counts["processes stopped"] += 1
        elif event < 0.08:
            user = self.chance.choice(self.users)
            with contextlib.suppress(DatabaseError):
                if self.chance.random() < 0.5:
                    ThanksIOConnection.objects.get(user=user).disconnect()
                    self.report.counts["disconnects"] += 1
                self.connect(user)
                self.report.counts["reconnects"] += 1
        elif event < 0.25 and databases.KIND != "sqlite":
            self.kill_session()

    def kill_session(self) -> None:
        mine = "pg_backend_pid()" if databases.KIND == "postgres" else "connection_id()"
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> {mine}"
                if databases.KIND == "postgres"
                else f"SELECT id FROM information_schema.processlist WHERE db = database() AND id <> {mine}"
            )
            if sessions := sorted(number for (number,) in cursor.fetchall()):
                session = self.chance.choice(sessions)
                with contextlib.suppress(DatabaseError):
                    cursor.execute(
                        f"SELECT pg_terminate_backend({session})" if databases.KIND == "postgres" else f"KILL {session}"
                    )
                    self.report.counts["sessions killed"] += 1
                    self.trace.write("-", f"kill session {session}")

    def connect(self, user: User) -> None:
        row = self.thanksio.connect(user)
        self.grants[user.pk] = self.thanksio.grant_of(row.tokens.access_token.reveal())
        self.past_grants.append((user.pk, self.grants[user.pk].id))
        self.pks.setdefault(user.pk, set()).add(row.tokens.pk)
        self.trace.write(row.tokens.pk, f"connected: grant {self.grants[user.pk].id}")

    def fault(self, record: RequestRecord) -> Fault | None:
        self.asked[record.number] = time.time()
        self.trace.write("-", f"request {record.number} of {process_of(record)}, grant {record.grant_id}")
        event = self.fault_chance.random()
        for share, options in FAULTS:
            if event < share:
                if "delay" not in options:
                    self.report.counts["faults"] += 1
                return Fault(**options)
            event -= share
        return None

    # Checking

    def heal(self) -> None:
        """What owners do: connect again where the app asks for it; it must have had a cause."""
        try:
            dead = list(ThanksIOConnection.objects.needing_reconnect().select_related("user", "tokens"))
        except DatabaseError:  # SQLite is busy
            return
        for row in dead:
            if row.tokens.last_failed_at.timestamp() > time.time() - 8:  # a late store may still heal it
                continue
            self.judge(row)
            with contextlib.suppress(DatabaseError):
                self.connect(row.user)

    def check(self) -> None:
        for user in self.users:
            row = ThanksIOConnection.objects.select_related("tokens").filter(user=user).first()
            if row is None:
                continue
            self.judge(row)
            if row.is_connected and self.thanksio.is_live(row.tokens.refresh_token.reveal()):
                try:
                    row.refresh(force=True)
                except ThanksIOError as error:
                    self.report.violations.append(f"user {user.pk}: can't be renewed at the end ({error})")
        self.count_double_spends()
        records = self.thanksio.token_requests("refresh_token")
        self.report.counts["token requests"] = len(records)
        self.report.counts["renewals"] = sum(record.outcome == "ok" for record in records)

    def judge(self, row: ThanksIOConnection) -> None:
        """The row's refresh token is the provider's live one, or the provider's log has a cause for the loss."""
        try:
            grant = self.thanksio.grant_of(row.tokens.refresh_token.reveal())
        except LookupError:
            self.report.violations.append(f"user {row.user_id}: the stored refresh token was never given out")
            return
        alive = self.thanksio.is_live(row.tokens.refresh_token.reveal())
        if alive and row.needs_reconnect:
            self.report.violations.append(f"user {row.user_id}: reconnect required while the stored token is live")
        if alive:
            return
        cause = self.cause(grant)
        if cause is None:
            spent = [record for record in self.thanksio.token_requests("refresh_token") if record.grant_id == grant.id]
            renewed = [record for record in spent if record.outcome == "ok"]
            self.violation(f"user {row.user_id}: lost without a cause; {self.describe(grant, row)}", renewed[-1:])
        else:
            self.report.counts[f"lost: {cause}"] += 1

    def cause(self, grant: Grant) -> str | None:
        if grant.cause_of_death:
            return grant.cause_of_death
        pair = self.thanksio.live_pair(grant)
        record = next((record for record in self.thanksio.requests if record.pair is pair and pair is not None), None)
        if record is None:
            return None
        if f"delay_reply={TOO_LATE_SECONDS}" in (record.fault or ""):  # sent, but to nobody
            return "reply too late"
        if record.reply != "sent" or (pair is not None and pair.reply != "sent"):
            return "reply lost"
        return "holder killed" if self.was_killed(record) else None

    def describe(self, grant: Grant, row: ThanksIOConnection) -> str:
        told = [
            f"{record.number} by {process_of(record)}: {record.outcome}, {record.reply}, fault {record.fault}"
            for record in self.thanksio.token_requests("refresh_token")
            if record.grant_id == grant.id
        ]
        state = f"{row.status}, {row.last_error_code}, version {row.tokens.version}, pairs {len(grant.pairs)}"
        return f"{state}; its last requests: {told[-4:]}"

    def was_killed(self, record: RequestRecord) -> bool:
        """Whether its process died before it could have stored the answer."""
        died = self.killed.get(process_of(record))
        return died is not None and died - self.asked.get(record.number, 0.0) < AT_WORK_SECONDS

    def was_stopped(self, record: RequestRecord) -> bool:
        """Whether its process slept while it could have been at work on the answer."""
        asked = self.asked.get(record.number, 0.0)
        return any(
            process_of(record) == pid and began - AT_WORK_SECONDS < asked < ended for pid, began, ended in self.stopped
        )

    def was_rolled_back(self, before: RequestRecord, record: RequestRecord) -> bool:
        """Whether the first one's pair was written in a caller's transaction that was undone."""
        owners = {pk for user, grant in self.past_grants if grant == before.grant_id for pk in self.pks[user]}
        return self.trace.rewritten(owners, self.asked[before.number], self.asked[record.number] + AT_WORK_SECONDS)

    def count_double_spends(self) -> None:
        """A refresh token that was presented again although its first use was answered, and its user lived."""
        first: dict[str, RequestRecord] = {}
        for record in self.thanksio.token_requests("refresh_token"):
            token = record.form["refresh_token"]
            before = first.get(token)
            if record.outcome == "ok" and "refresh_token" not in (record.fault or ""):
                first.setdefault(token, record)
            if before is None or record.outcome != "invalid_grant":
                continue
            late = f"delay_reply={TOO_LATE_SECONDS}" in (before.fault or "")
            if late or before.reply != "sent" or (before.pair and before.pair.reply != "sent"):
                self.report.counts["spent again after an unknown outcome"] += 1
            elif self.was_killed(before) or self.was_stopped(before) or self.was_stopped(record):
                self.report.counts["spent again after a dead or sleeping holder"] += 1
            elif self.asked[record.number] - self.asked[before.number] > LEASE_SECONDS:
                self.report.counts["spent again after an expired lease"] += 1  # the row was locked for so long
            elif self.was_rolled_back(before, record):
                self.report.counts["spent again after a rollback, before the guard wrote"] += 1
            else:
                self.violation(f"double spend: requests {before.number} and {record.number}", [before, record])

    def violation(self, what: str, records: list[RequestRecord]) -> None:
        """Note it, and print what the processes did around these requests."""
        self.report.violations.append(what)
        grants = {record.grant_id for record in records}
        owners = {pk for user, grant in self.past_grants if grant in grants for pk in self.pks[user]}
        moments = [self.asked[record.number] for record in records if record.number in self.asked]
        print(f"{what}\n{self.trace.story(owners, moments)}\n", flush=True)


def process_of(record: RequestRecord) -> int:
    name, _slash, pid = record.headers.get("user-agent", "").partition("/")
    return int(pid) if name == "soak" and pid.isdigit() else os.getpid()
