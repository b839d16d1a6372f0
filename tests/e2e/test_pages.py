"""Every page and state, photographed at 1280 and 390 px, light and dark, for a person to look at."""

from __future__ import annotations

import pytest

from tests.e2e.person import Person

pytestmark = pytest.mark.browser


def test_every_page_fits_and_none_reports_an_error(person: Person):
    person.picture("home-not-connected")
    for name, path in (
        ("orders-not-connected", "/orders/"),
        ("connection-none", "/thanksio/"),
        ("connect", "/thanksio/connect/"),
        ("callback-error", "/thanksio/callback/?state=unknown&code=unknown"),
        ("nothing-here", "/nothing/"),
    ):
        person.go(path)
        person.picture(name)
    person.start_connecting()
    person.picture("sandbox-consent")
    person.deny()
    person.picture("denied")
    person.connect()
    person.picture("connected")
    person.go("/postcards/new/")
    person.press(".compose-submit button")
    person.picture("compose-errors")
    person.write()
    person.find(".front-choice:nth-child(2)").click()
    person.picture("compose")
    person.press(".compose-submit button")
    person.picture("review")
    person.press(".checkout form button.primary")
    person.picture("order")
    person.review(name="Alan Turing", city="Salem", province="OR")
    for name, path in (
        ("home", "/"),
        ("orders", "/orders/"),
        ("connection", "/thanksio/"),
        ("disconnect", "/thanksio/disconnect/"),
    ):
        person.go(path)
        person.picture(name)
    person.revoke_at_thanksio()
    person.go("/orders/")
    person.picture("orders-reconnect")
    person.go("/")
    person.picture("home-reconnect")
    person.go("/thanksio/")
    person.picture("connection-reconnect")
    person.press("form[action*=logout] button")
    person.picture("sign-in")
    complaints = [entry for entry in person.driver.get_log("browser") if entry["level"] == "SEVERE"]
    statuses = ("status of 400", "status of 404", "status of 409", "status of 422")
    assert [entry for entry in complaints if not any(status in entry["message"] for status in statuses)] == []
