"""A product's file that uses the client well passes the type checkers; each misspelt or missing field is an error."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GOOD = """
from thanksio_connect.client.api import ThanksIOClient
from thanksio_connect.client.resources.send import Preview
from thanksio_connect.client.resources.shapes import PlacedOrder
from thanksio_connect.client.send_once import SendOnce


def once(key: SendOnce) -> int:
    order: PlacedOrder = key.postcard(message="Hi", mailing_list_ids=[1])
    bought: int = key.buy_radius_search(address="1 Main St", postal_code="12345", record_count=5)["mailing_list_id"]
    return order["id"] + bought + key.replay(5, metadata={"invoice": 17})["replayed_from_order_id"]


def send(api: ThanksIOClient, is_draft: bool) -> int:
    order: PlacedOrder = api.send.postcard(message="Hi", recipients=[{"name": "Ann", "address": "1 Main St"}])
    preview: Preview = api.send.postcard(message="Hi", mailing_list_ids=[1], preview=True)
    either: PlacedOrder | Preview = api.send.giftcard(giftcard_brand="amazonus", sub_account=None, preview=is_draft)
    print(preview["data"]["previews"][0].upper(), either)
    cents: int = api.estimate.notecard(message="Hi", mailing_list_ids=[1])["data"]["total_cost_in_cents"]
    for row in api.orders.list(items_per_page=10, page=2):
        cents += row["grand_total"]
    api.recipients.create(mailing_list_id=1, address="1 Main St", custom10=None)
    api.build_image_template(id=3, header="Hi").decode()
    print(api.mailing_lists.recipients(5, limit=100).pages(), api.sub_accounts.list()[0]["title"].upper())
    return order["id"] + cents
"""
WRONG = [
    'api.send.postcard(mesage="typo")',
    'api.send.postcard(message="Hi", size="5x7")',
    'api.send.postcard(recipients=[{"nam": "Ann"}])',
    'api.send.postcard(message="Hi", preview=True)["id"]',
    'api.send.postcard(message="Hi")["data"]',
    'api.send.magnacard(message="Hi", qrcode_url="https://product.example/")',
    'api.send.giftcard(giftcard_brands="amazonus")',
    'api.send.postcard(message="Hi", radius_search={"record_types": "apartmentcomplex"})',
    'api.send.postcard(message="Hi")["statsu"]',
    'api.estimate.postcard(mesage="typo")',
    'api.estimate.windowedletter(message="Hi", size="4x6")',
    'api.estimate.windowlessletter(pdf_url="https://product.example/")',
    'api.estimate.notecard(message="Hi", recipients=[{"adress": "1 Main St"}])',
    'api.estimate.magnacard(message="Hi", mailing_list_ids="1")',
    'api.estimate.giftcard(giftcard_amount="10")',
    'api.estimate.postcard(message="Hi")["data"]["total"]',
    "api.orders.list(per_page=3)",
    "api.orders.list(subaccount_id=3)",
    'next(iter(api.orders.list()))["statsu"]',
    'api.orders.track(5)["data"]["stats"]["printd"]',
    'next(iter(api.orders.items(5)))["recipient"]["adress"]',
    'api.mailing_lists.get(5)["total_recipient"]',
    "api.orders.trak(5)",
    "api.orders.track()",
    'api.recipients.create(address="1 Main St")',
    "api.mailing_lists.create(sub_account_id=3)",
    'api.webhooks.create(url="https://product.example/", type="order.update", verb="post")',
    'api.sub_accounts.update(5, title="A", return_adress="1 Main St")',
    'api.build_image_template(header="Hi")',
    'once.postcard(mesage="typo")',
    "once.replay()",
    'once.buy_radius_search(address="1 Main St")',
]
BAD = (
    GOOD + "\n\ndef wrong(api: ThanksIOClient, once: SendOnce) -> None:\n" + "".join(f"    {line}\n" for line in WRONG)
)
FIRST_WRONG_LINE = BAD.splitlines().index(f"    {WRONG[0]}") + 1


def mypy(path: Path) -> set[int]:
    """The lines with an error."""
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={path.parent / 'cache'}"]
    command += ["--follow-imports=silent", "--hide-error-context", "--no-error-summary", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    return {int(number) for number in re.findall(rf"{path.name}:(\d+): error", done.stdout)}


def pyright(path: Path) -> set[int]:
    """The lines with an error."""
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    try:
        report = json.loads(done.stdout)
    except ValueError:
        pytest.skip("pyright can't run here: it fetches its program at its first run")
    found = report["generalDiagnostics"]
    return {item["range"]["start"]["line"] + 1 for item in found if item["severity"] == "error"}


@pytest.mark.parametrize("checker", [mypy, pyright], ids=lambda checker: checker.__name__)
def test_each_mistake_is_an_error_and_nothing_else(checker, tmp_path):
    if importlib.util.find_spec(checker.__name__) is None:
        pytest.skip(f"{checker.__name__} is not installed")
    path = tmp_path / "product.py"
    path.write_text(BAD, encoding="utf-8")

    lines = checker(path)

    assert lines == set(range(FIRST_WRONG_LINE, FIRST_WRONG_LINE + len(WRONG)))
