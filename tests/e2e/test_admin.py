"""An operator of many connections in the admin: finds the reason, acts; on a desk, in the dark, on a telephone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

from tests.e2e.person import Person
from tests.e2e.test_bare_project import sign_in, wait_for
from tests.integration.staff import LIST, page_of, seed
from thanksio_connect.fields import utc_now
from thanksio_connect.models import ConnectionEvent, ConnectionTokens, Sweep, ThanksIOConnection
from thanksio_connect.testing import FakeThanksIO

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
FAILURES = ["invalid_grant"] * 14 + ["undecryptable"] * 9 + ["not_sent"] * 8 + ["lost_reply"] * 3 + ["other_client"] * 3
FIRST_NAMES = (
    "Ann Ben Carla Dmitri Eve Farid Grace Hana Ivo Jun Karl Lena Mia Noor Olga Pia Quentin Rosa Sam Tara".split()
)
LAST_NAMES = "Smith Okafor Weber Silva Tanaka Haddad Rossi Novak Kim Larsen Papadopoulos".split()
FITS = "const seen = document.querySelector('.results'); return [seen.scrollWidth, seen.clientWidth];"


@pytest.fixture
def thanksio() -> Iterator[FakeThanksIO]:
    with FakeThanksIO() as server, server.override_settings():
        yield server


@pytest.fixture
def operator(chromium: webdriver.Chrome, live_server, thanksio: FakeThanksIO, screenshots: Path) -> Person:
    """Somebody at the list of 300 connections, 37 of which fail for five reasons."""
    spread = [FAILURES[number // 3 * 5 % 37] if number % 3 == 0 else "" for number in range(37 * 3)]
    seed(300, [""] * 189 + spread)
    people = list(get_user_model().objects.order_by("pk"))
    for number, person in enumerate(people):
        person.first_name, person.last_name = FIRST_NAMES[number % 20], LAST_NAMES[number % 11]
        person.email = f"{person.first_name}.{person.last_name}@example.com".lower()
    get_user_model().objects.bulk_update(people, ["first_name", "last_name", "email"])
    now = utc_now()
    Sweep.objects.create(started_at=now - timedelta(minutes=4), finished_at=now - timedelta(minutes=3))
    boss = get_user_model().objects.create_superuser("olu", password="pw", first_name="Olu")
    sign_in(chromium, live_server, boss)
    return Person(chromium, live_server.url, thanksio.url, screenshots)


def text_of(operator: Person) -> str:
    return operator.find("body").text


def test_an_operator_finds_the_reason_and_its_cure_and_acts(operator: Person, thanksio: FakeThanksIO):
    operator.go(LIST)
    operator.picture("admin-list")
    for width in (1280, 390):
        operator.driver.set_window_size(width, 900)
        needed, given = operator.driver.execute_script(FITS)
        assert needed <= given, f"the columns need {needed} px of {given} in a window of {width} px"
    operator.driver.set_window_size(1280, 900)
    assert "37 connections failed last: why, and what to do" in text_of(operator)

    operator.press('a[href="?trouble=not_sent"]')
    operator.picture("admin-reason")
    assert "it names the cause." in text_of(operator)
    assert len(operator.driver.find_elements(By.CSS_SELECTOR, "#result_list tbody tr")) == 8

    row = ThanksIOConnection.objects.filter(tokens__last_error_code="not_sent").order_by("-pk")[0]
    pair = thanksio.issue(user_id=row.user_id)
    ConnectionTokens.objects.filter(connection=row).update(
        access_token=pair.access_token, refresh_token=pair.refresh_token
    )
    began = utc_now() - timedelta(days=40)
    ConnectionEvent.objects.create(user=row.user, kind="connected", at=began)
    ConnectionEvent.objects.create(user=row.user, kind="failing", code="timeout", at=began + timedelta(days=9))
    ConnectionEvent.objects.create(user=row.user, kind="recovered", at=began + timedelta(days=9, minutes=3))
    operator.press("#result_list tbody tr th a")
    assert f"{page_of(row)}?" in operator.driver.current_url  # with the filter
    operator.picture("admin-connection")
    assert not operator.has("[name=_save]")
    operator.press(".thanksio-actions button")
    assert "was refreshed." in text_of(operator)
    assert thanksio.count("refresh_token") == 1
    assert "What to do" not in text_of(operator)

    operator.press(".thanksio-actions .thanksio-disconnect")
    operator.picture("admin-disconnect")
    operator.press("input.thanksio-disconnect")
    assert "was disconnected." in text_of(operator)
    assert not ThanksIOConnection.objects.filter(pk=row.pk).exists()
    assert operator.driver.current_url.endswith(f"{LIST}?trouble=not_sent")


def test_all_pages_are_selected_by_two_clicks(operator: Person, thanksio: FakeThanksIO):
    operator.go(LIST)
    operator.find("#action-toggle").click()
    operator.find(".actions .question a").click()
    Select(operator.find("select[name=action]")).select_by_value("refresh")
    operator.press("button[name=index]")
    text = wait_for(operator.driver, "due now")
    assert "283 connections are due now." in text
    assert "17 need their owners" in text
    assert thanksio.count("refresh_token") == 0
