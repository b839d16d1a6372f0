"""The main job in a real browser: connect, deny, send, cancel, disconnect, reconnect, on two real origins."""

from __future__ import annotations

import pytest
from django.utils.dateformat import format as date_format
from django.utils.timezone import now

from tests.e2e.person import Person

pytestmark = pytest.mark.browser

DATE = date_format(now(), "N j, Y")


def test_a_user_connects_and_sends_a_postcard(person: Person):
    assert person.find(".connection-panel .thanksio-button--connect").text == "Connect thanks.io"
    person.connect()
    assert person.is_at_product
    assert "Your thanks.io account is connected." in person.messages
    person.go("/")
    assert person.find(".connection-panel .thanksio-button--connected").text.endswith("Connected to thanks.io")
    person.review()
    assert person.heading == "Ready to send?"
    price = person.find(".price").text
    assert price.startswith("$")
    assert person.find(".checkout form button").text == f"Send for {price}"
    person.press(".checkout form button.primary")
    assert person.messages == ["thanks.io has your postcard to Ada Lovelace, and reviews it."]
    assert person.heading == "To Ada Lovelace"
    assert person.find(".milestones [aria-current]").text.startswith("In review")
    order_path = person.driver.current_url.removeprefix(person.product_url)
    person.go("/orders/")
    assert "Ada Lovelace" in person.find(f".order-row[href='{order_path}']").text
    person.driver.get(f"{person.sandbox_url}/")
    assert "the harbour was full of lights" in person.driver.page_source


def test_a_denial_is_an_answer_and_changes_nothing(person: Person):
    person.start_connecting()
    person.deny()
    assert person.is_at_product
    assert person.messages == ["You did not allow the connection to thanks.io."]
    assert person.has(".thanksio-button--connect")


def test_an_order_can_be_cancelled_while_it_is_in_review(person: Person):
    person.connect()
    person.send(name="Cancelled Carl")
    person.find(".confirm summary").click()
    person.press(".confirm button")
    assert person.messages == ["The order is cancelled, and thanks.io refunds it to your balance."]
    assert "Cancelled" in person.find(".section-head .chip").text
    assert not person.has(".confirm")


def test_an_open_order_page_moves_by_itself_when_thanksio_tells(person: Person):
    person.connect()
    person.send(name="Moving Mo")
    order = person.driver.current_window_handle
    number = person.driver.current_url.rpartition("/orders/")[2].strip("/")
    person.driver.switch_to.new_window("window")
    try:
        for step, state, chip in [
            ("Print", "At the printer", "Printing"),
            ("Post", "In the mail", "Shipped"),
            ("Deliver", "Delivered", "Delivered"),
        ]:
            person.driver.get(f"{person.sandbox_url}/")
            assert person.find(f"form[action='/move-on/{number}/'] button").text == f"{step} #{number}"
            person.press(f"form[action='/move-on/{number}/'] button")
            sandbox = person.driver.current_window_handle
            person.driver.switch_to.window(order)
            person.wait_for(".milestones [aria-current]", state)
            assert person.find(".section-head .chip").text == chip
            person.driver.switch_to.window(sandbox)
    finally:
        person.driver.close()
        person.driver.switch_to.window(order)
    assert not person.has(".confirm")
    person.go("/")
    assert "Delivered" in person.find(".gallery").text


def test_a_whole_mailing_list_is_written_to_at_once_and_its_progress_is_shown(person: Person):
    person.connect()
    person.go("/postcards/new/")
    person.press("a[href='/postcards/new/list/']")
    person.picture("compose-list")
    person.find("#id_message").send_keys("Dear customers, the harbour is open again!")
    person.press(".compose-submit button")
    assert "Recipients\n2" in person.find(".facts").text
    assert person.find(".price").text == "$2.36"
    person.picture("review-list")
    person.press("a[href*='/edit/list/']")
    assert person.find("#id_message").get_attribute("value").startswith("Dear customers")
    person.press(".compose-submit button")
    person.press(".checkout form button.primary")
    assert person.heading == "To Customers"
    assert person.find(".progress").text == "0 of 2 delivered"
    path = person.driver.current_url.removeprefix(person.product_url)
    for _step in ("Print", "Post", "Deliver"):
        person.driver.get(f"{person.sandbox_url}/")
        person.press(f"form[action='/move-on/{path.split('/')[2]}/'] button")
    person.go(path)
    assert person.find(".progress").text == "1 of 2 delivered\n1 in the mail"
    assert person.find(".milestones [aria-current]").text.startswith("In the mail")
    person.picture("order-list")
    person.go("/orders/")
    assert "Mailing list" in person.find(f".order-row[href='{path}']").text


def test_disconnecting_forgets_the_connection_and_keeps_the_postcards(person: Person):
    person.connect()
    person.send(name="Kept Kim")
    person.disconnect()
    person.go("/")
    assert person.has(".connection-panel .thanksio-button--connect")
    assert "Kept Kim" in person.find(".gallery").text
    person.go("/orders/")
    assert person.find(".notice-large h2").text == "Connect thanks.io first"


def test_a_revoked_connection_asks_for_its_owner_and_a_reconnect_heals_it(person: Person):
    person.connect()
    person.review(name="Patient Pat")
    review_path = person.driver.current_url.removeprefix(person.product_url)
    person.revoke_at_thanksio()
    person.go(review_path)
    assert person.find(".notice-large h2").text == "Your thanks.io connection needs you"
    person.go("/")
    assert person.find(".thanksio-notice .thanksio-button--reconnect").text.endswith("Reconnect thanks.io")
    person.start_connecting(review_path, ".thanksio-button--reconnect")
    person.allow()
    assert person.driver.current_url == person.product_url + review_path
    person.press(".checkout form button.primary")
    assert person.heading == "To Patient Pat"


def test_thanksio_says_what_is_wrong_on_the_field_it_is_about(person: Person):
    person.connect()
    person.review(postal_code="1234")
    assert person.find(".field-postal_code .errorlist").text == "Enter a ZIP code like 12345 or 12345-6789."
    assert person.find("#id_postal_code").get_attribute("aria-invalid") == "true"
    assert person.find("#id_name").get_attribute("value") == "Ada Lovelace"


def test_the_cookies_of_product_and_sandbox_keep_apart(person: Person):
    person.connect()
    product = person.cookies()
    assert "postlight_session" in product
    person.driver.get(f"{person.sandbox_url}/")
    sandbox = person.cookies()
    assert sandbox.keys().isdisjoint(product.keys())
    person.go("/")
    assert person.cookies()["postlight_session"]["value"] == product["postlight_session"]["value"]


def test_a_double_click_on_send_sends_once(person: Person):
    person.connect()
    person.review(name="Once Olga")
    button = person.find(".checkout form button.primary")
    person.driver.execute_script("arguments[0].form.submit(); arguments[0].form.submit();", button)
    person.driver.implicitly_wait(10)
    person.find(".milestones")
    person.driver.implicitly_wait(0)
    person.driver.get(f"{person.sandbox_url}/")
    assert person.driver.page_source.count("Once Olga") == 1


def test_an_outage_of_thanksio_is_told_and_loses_nothing(person_with_own_servers: Person, own_servers):
    person = person_with_own_servers
    person.connect()
    person.review()
    own_servers.stop("sandbox")
    person.press(".checkout form button.primary")
    assert person.find(".notice-large h2").text == "thanks.io can't be reached"
    person.picture("review-unreachable")
    person.go("/orders/")
    assert person.find(".notice-large h2").text == "thanks.io can't be reached"
    own_servers.start("sandbox", own_servers.sandbox, "/login")
    person.go("/")
    person.press(".gallery a")
    person.press(".checkout form button.primary")
    assert person.heading == "To Ada Lovelace"


def test_whoever_is_not_connected_is_told_before_they_write(person: Person):
    person.go("/postcards/new/")
    assert "You are not connected to thanks.io." in person.find(".not-connected").text
    person.start_connecting("/postcards/new/")
    person.allow()
    assert person.driver.current_url == f"{person.product_url}/postcards/new/"
    assert not person.has(".not-connected")


def test_an_order_says_the_same_on_every_page_and_in_every_window(person: Person):
    person.connect()
    person.send(name="Same Sam")
    order = person.driver.current_url.rpartition("/orders/")[2].strip("/")
    assert person.find("#way-title").text == "Where it is"
    assert DATE in person.find(".facts").text
    for width in (1280, 390):
        person.driver.set_window_size(width, 900)
        person.go("/orders/")
        row = person.find(f".order-row[href='/orders/{order}/']").text
        assert f"No. {order}" in row
        assert DATE in row
        assert "On its way" not in row
    person.go("/")
    assert DATE in person.find(".gallery").text


@pytest.mark.parametrize(
    ("path", "tab"),
    [
        ("/", "Home"),
        ("/postcards/new/", "Write"),
        ("/orders/", "Orders"),
        ("/orders/1/", "Orders"),
        ("/thanksio/", "Connection"),
        ("/thanksio/connect/", "Connection"),
        ("/thanksio/callback/", "Connection"),
    ],
)
def test_every_page_says_where_it_is_and_who_is_there(person: Person, path: str, tab: str):
    person.go(path)
    assert person.find(".tabs [aria-current]").text == tab
    assert person.find(".who").text == "Dana"
