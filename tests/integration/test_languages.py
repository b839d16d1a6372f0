"""The pages, the messages and the JSON speak the language that the request asks for."""

from datetime import UTC, datetime

import pytest
from django.core.management import call_command
from django.test import Client

from tests.integration.browsing import CALLBACK, CONNECT, DISCONNECT, STATUS, messages_of
from thanksio_connect.models import ThanksIOConnection

pytestmark = pytest.mark.django_db

# Header -> the page's language, and how it says since when the account is connected.
STATUS_WORDS = {
    "de-AT,de;q=0.9": ("de", "Ihr thanks.io-Konto ist seit dem 24. November 2026 verbunden."),
    "es-ES": ("es", "Su cuenta de thanks.io está conectada desde el 24 de noviembre de 2026."),
    "fr": ("fr", "Votre compte thanks.io est connecté depuis le 24 novembre 2026."),
    "pt-BR": ("pt-br", "Sua conta do thanks.io está conectada desde 24 de Novembro de 2026."),
    "ja": ("ja", "thanks.ioアカウントは2026年11月24日から連携しています。"),
    "zh-CN": ("zh-hans", "您的 thanks.io 账户自2026年11月24日起已连接。"),
    "ar": ("ar", "حسابك على thanks.io مرتبط منذ \u206824 نوفمبر، 2026\u2069."),
}


@pytest.mark.parametrize("header", STATUS_WORDS)
def test_status_page_in_the_browsers_language(browser, thanksio, user, header):
    thanksio.connect(user)
    ThanksIOConnection._base_manager.update(connected_at=datetime(2026, 11, 24, 15, tzinfo=UTC))
    language, words = STATUS_WORDS[header]
    response = browser.get(STATUS, headers={"accept-language": header})
    page = response.content.decode()
    assert words in page
    assert f'<html lang="{language}" dir="{"rtl" if language == "ar" else "ltr"}">' in page
    assert response["Content-Language"] == language
    assert "Accept-Language" in response["Vary"]


def test_a_countrys_variant_falls_back_to_the_language(browser, thanksio):
    page = browser.get(STATUS, headers={"accept-language": "es-MX"}).content.decode()
    assert "No hay ninguna cuenta de thanks.io conectada." in page


def test_every_page_is_right_to_left_in_arabic(browser, thanksio, user):
    arabic = {"accept-language": "ar"}
    pages = [browser.get(CONNECT, headers=arabic), browser.get(CALLBACK, headers=arabic)]
    thanksio.connect(user)
    pages += [browser.get(path, headers=arabic) for path in (STATUS, DISCONNECT)]
    for response in pages:
        assert '<html lang="ar" dir="rtl">' in response.content.decode()


def test_messages_in_the_browsers_language(browser, thanksio, user):
    thanksio.connect(user)
    response = browser.post(DISCONNECT, {"next": "/x/"}, headers={"accept-language": "fr"})
    assert messages_of(response) == ["Votre compte thanks.io est déconnecté."]


def test_json_problem_in_the_browsers_language(db):
    headers = {"accept": "application/json", "accept-language": "de"}
    assert Client().get(STATUS, headers=headers).json()["message"] == "Melden Sie sich zuerst an."


@pytest.mark.parametrize(("language", "words"), [("de", "Jetzt erneuern"), ("ar", "التحديث الآن")])
def test_admin_in_the_browsers_language(browser, thanksio, user, language, words):
    type(user).objects.update(is_staff=True, is_superuser=True)
    connection = thanksio.connect(user)
    path = f"/admin/thanksio_connect/thanksioconnection/{connection.pk}/change/"
    page = browser.get(path, headers={"accept-language": language})
    assert words in page.content.decode()


@pytest.mark.parametrize(
    ("language", "words"),
    [("de", "0 Verbindungen würden erneuert."), ("en", "0 connections would be renewed.")],
)
def test_command_in_the_projects_language(settings, capsys, language, words):
    settings.LANGUAGE_CODE = language
    call_command("refresh_thanksio_tokens", "--dry-run")
    assert capsys.readouterr().out == f"{words}\n"
