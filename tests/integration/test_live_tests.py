"""The tests that ask thanks.io itself pass against the fake, too: so they are tests, and the fake is like thanks.io."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from thanksio_connect.client.api import ThanksIOClient
from thanksio_connect.testing import ThanksIOServer

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("has_rows", [True, False])
def test_they_pass_against_the_fake_and_change_nothing(has_rows):
    with ThanksIOServer() as server:
        token = server.issue().access_token
        if has_rows:
            fill(ThanksIOClient.with_bearer_token(token, api_url=server.api_url))
        before = len(server.api_requests())
        environment = {"THANKSIO_LIVE_TOKEN": token, "THANKSIO_LIVE_API_URL": server.api_url}
        command = [sys.executable, "-m", "pytest", "tests/live", "-q", "-p", "no:cacheprovider"]
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, **environment, "PYTEST_ADDOPTS": ""}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        asked = server.api_requests()[before:]
    assert "failed" not in done.stdout
    assert ("the account has no order" in done.stdout) is not has_rows
    changing = {record.path for record in asked if record.method != "GET"}
    assert changing == {"/api/v2/estimate/postcard"}


def fill(api):
    """One row of each kind."""
    api.send.postcard(message="Hello", recipients=[{"name": "Ann", "address": "1 Main Street"}])
    api.mailing_lists.create(description="Customers")
    api.message_templates.create(type="postcard", name="Thanks", content="Thank you!")
    api.sub_accounts.create(title="Branch")
    api.webhooks.create(url="https://product.example/hook", type="order.status_update", verb="post")
