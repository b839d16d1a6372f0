"""A fresh token from a loaded row, against one bare Fernet decryption of the same ciphertext."""

from __future__ import annotations

import statistics
import time
from datetime import UTC, datetime, timedelta
from functools import partial

from cryptography.fernet import Fernet
from django.conf import settings
from django.contrib.auth.models import User

from benchmarks.measure import Finding, decryptions, statements
from thanksio_connect.client.tokens import TokenSet
from thanksio_connect.models import ThanksIOConnection
from thanksio_connect.testing.minting import mint_access_token, mint_opaque

LATER_CALLS = 20


def measure(*, rounds: int) -> list[Finding]:
    """Load a row ``rounds`` times; time its first call, some later calls, and the bare decryption."""
    now = datetime.now(UTC)
    token = mint_access_token(user_id="1", client_id="9", issued_at=now.timestamp(), expires_at=now.timestamp() + 3600)
    user = User.objects.create(username="fresh")
    ThanksIOConnection.objects.connect(user, TokenSet(token, mint_opaque(720), expires_at=now + timedelta(hours=1)))
    row = ThanksIOConnection.objects.for_user(user)
    with statements() as queries, decryptions() as decrypted:
        tokens = {row.get_access_token() for _ in range(3)}
    assert tokens == {token}
    fernet = Fernet(settings.FIELD_ENCRYPTION_KEY)
    bare, first, later = [], [], []
    instances = [ThanksIOConnection.objects.for_user(user) for _ in range(rounds)]
    for number, row in enumerate(instances):
        ciphertext = row.tokens.access_token.ciphertext
        sides = [(partial(fernet.decrypt, ciphertext), bare), (row.get_access_token, first)]
        for side, times in sides if number % 2 else reversed(sides):
            started = time.perf_counter()
            side()
            times.append(time.perf_counter() - started)
        started = time.perf_counter()
        for _ in range(LATER_CALLS):
            row.get_access_token()
        later.append((time.perf_counter() - started) / LATER_CALLS)
    one = statistics.median(bare)
    in_microseconds = f"{len(token)} characters; a decryption is {one * 1e6:.0f} µs"
    return [
        Finding("fresh token: queries", len(queries), 0, is_count=True),
        Finding("fresh token: decryptions in the instance's life", len(decrypted), 1, is_count=True),
        Finding(
            "fresh token: first call / one decryption", statistics.median(first) / one, 1.2, detail=in_microseconds
        ),
        Finding("fresh token: later call / one decryption", statistics.median(later) / one, 0.1),
    ]
