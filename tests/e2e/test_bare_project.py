"""The app in a bare project and a real browser: its own templates, cookies and cross-site redirects as they are."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.contrib.sessions.models import Session
from django.test import Client
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from thanksio_connect.models import ConnectionTokens, ThanksIOConnection
from thanksio_connect.testing import FakeThanksIO

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def thanksio() -> Iterator[FakeThanksIO]:
    """On 127.0.0.1, while the project is on localhost: another site."""
    with FakeThanksIO() as server, server.override_settings():
        yield server


@pytest.fixture
def user():
    return get_user_model().objects.create_user("alice", password="pw", is_staff=True)


def sign_in(driver: webdriver.Chrome, live_server, user, *, same_site: str = "Lax") -> None:
    client = Client()
    client.force_login(user)
    driver.get(f"{live_server.url}/accounts/login/nowhere")
    driver.add_cookie(
        {
            "name": "sessionid",
            "value": client.cookies["sessionid"].value,
            "path": "/",
            "httpOnly": True,
            "sameSite": same_site,
        }
    )


def press(driver: webdriver.Chrome, words: str) -> None:
    driver.find_element(By.XPATH, f"//button[normalize-space()='{words}']").click()


def wait_for(driver: webdriver.Chrome, words: str) -> str:
    """The page's text, once it has the words; pages may change under our eyes."""

    def text_with_words(_: object) -> str | None:
        text = driver.find_element(By.TAG_NAME, "body").text
        return text if words in text else None

    changing = [WebDriverException]  # the driver has several names for a page that goes away while it looks
    return WebDriverWait(driver, 10, ignored_exceptions=changing).until(text_with_words)


def test_strict_session_cookie_is_no_obstacle(chromium, live_server, thanksio, user, settings):
    settings.SESSION_COOKIE_SAMESITE = "Strict"
    sign_in(chromium, live_server, user, same_site="Strict")
    chromium.get(f"{live_server.url}/thanksio/connect/")
    press(chromium, "Continue to thanks.io")
    text = wait_for(chromium, "has been connected since")
    assert "Your thanks.io account is connected." not in text  # the page says it already
    assert chromium.current_url == f"{live_server.url}/thanksio/"
    assert "code=" not in chromium.execute_script("return document.referrer")
    assert ThanksIOConnection.objects.get().user == user
    assert thanksio.count("authorization_code") == 1


def test_back_button_after_connecting_exchanges_nothing(chromium, live_server, thanksio, user):
    sign_in(chromium, live_server, user)
    chromium.get(f"{live_server.url}/thanksio/connect/")
    press(chromium, "Continue to thanks.io")
    wait_for(chromium, "has been connected since")
    chromium.back()
    chromium.forward()
    wait_for(chromium, "has been connected since")
    assert thanksio.count("authorization_code") == 1
    assert thanksio.is_live(ThanksIOConnection.objects.get().tokens.refresh_token)


def test_error_page_leads_on_with_one_button(chromium, live_server, thanksio, user):
    sign_in(chromium, live_server, user)
    thanksio.next_token(lose_reply="before")
    chromium.get(f"{live_server.url}/thanksio/connect/")
    press(chromium, "Continue to thanks.io")
    wait_for(chromium, "Nothing was lost")
    press(chromium, "Start again")
    wait_for(chromium, "has been connected since")


def test_signed_out_meanwhile_signs_in_and_continues(chromium, live_server, thanksio, user, settings):
    settings.LOGIN_URL = "admin:login"  # the one login page that the test project has
    sign_in(chromium, live_server, user)
    fault = thanksio.next_authorize(hold="before")
    chromium.get(f"{live_server.url}/thanksio/connect/?next=/thanksio/%3Ffrom=here")
    pressing = threading.Thread(target=press, args=(chromium, "Continue to thanks.io"))
    pressing.start()
    fault.wait_reached()
    Session.objects.all().delete()
    fault.release()
    pressing.join()
    wait_for(chromium, "Username")
    assert "code=" not in chromium.current_url
    assert "state=" not in chromium.current_url
    chromium.find_element(By.NAME, "username").send_keys("alice")
    chromium.find_element(By.NAME, "password").send_keys("pw")
    chromium.find_element(By.CSS_SELECTOR, "input[type=submit]").click()
    wait_for(chromium, "Continue to thanks.io")
    press(chromium, "Continue to thanks.io")
    wait_for(chromium, "has been connected since")
    assert chromium.current_url.endswith("/thanksio/?from=here")


@pytest.mark.parametrize(("width", "language"), [(1280, "en"), (390, "en"), (390, "ar")])
def test_plain_pages_fit(chromium, live_server, thanksio, user, screenshots: Path, width, language):
    chromium.set_window_size(width, 900)
    sign_in(chromium, live_server, user)
    chromium.add_cookie({"name": "django_language", "value": language, "path": "/"})

    def look(path: str, name: str) -> None:
        chromium.get(live_server.url + path)
        fits = "return document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        assert chromium.execute_script(fits), path
        assert chromium.find_element(By.TAG_NAME, "html").get_attribute("dir") == ("rtl" if language == "ar" else "ltr")
        assert len(chromium.find_elements(By.TAG_NAME, "h1")) == 1
        chromium.save_screenshot(str(screenshots / f"bare-{name}-{width}-{language}.png"))

    look("/thanksio/", "not-connected")
    look("/thanksio/connect/", "connect")
    look("/thanksio/callback/", "error")
    thanksio.connect(user)
    look("/thanksio/", "connected")
    look("/thanksio/disconnect/", "disconnect")
    ConnectionTokens._base_manager.update(status="reconnect_required")
    look("/thanksio/", "reconnect")
