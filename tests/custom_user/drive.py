"""Connect, renew and disconnect as such a user; prints ``ok``. Run by a test in a process of its own."""

import os

import django


def main() -> None:
    """Needs no database server."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.custom_user.settings"
    django.setup()
    from django.core.management import call_command
    from django.test.utils import setup_test_environment

    from tests.custom_user.models import Person
    from tests.integration.browsing import DISCONNECT, STATUS, Browser
    from thanksio_connect.models import ThanksIOConnection
    from thanksio_connect.testing import FakeThanksIO

    setup_test_environment()
    call_command("check", fail_level="WARNING", verbosity=0)
    call_command("migrate", run_syncdb=True, verbosity=0)
    person = Person.objects.create(email="ann@example.com")
    browser = Browser()
    browser.force_login(person)
    with FakeThanksIO() as thanksio, thanksio.override_settings():
        answer = browser.get(browser.allow(thanksio))
        assert answer["Location"] == STATUS, answer
        connection = ThanksIOConnection.objects.for_user(person)
        assert thanksio.is_live(connection.get_access_token())
        connection.refresh()
        assert thanksio.count("refresh_token") == 1
        browser.post(DISCONNECT)
    assert not ThanksIOConnection.objects.exists()
    from django.db import connection as database

    from tests.custom_user.subclasses import Letterbox, NamedConnection

    with database.schema_editor() as editor:
        editor.create_model(Letterbox)
    for model in (ThanksIOConnection, NamedConnection, Letterbox):
        subclass(model)
    print("ok")


def subclass(model) -> None:
    """Whatever class the project works with, receivers of the model hear everything, and tokens are renewed."""
    from tests.custom_user.models import Person
    from tests.custom_user.subclasses import Letterbox
    from thanksio_connect import signals
    from thanksio_connect.client.tokens import TokenSet
    from thanksio_connect.models import ConnectionEvent, ConnectionTokens, ThanksIOConnection
    from thanksio_connect.testing import FakeThanksIO

    heard = []
    every = {name: getattr(signals, name) for name in ("connected", "disconnected", "tokens_refreshed")}
    every["reconnect_required"] = signals.reconnect_required
    receivers = [lambda name=name, **kwargs: heard.append(name) for name in every]
    for signal, receive in zip(every.values(), receivers, strict=True):
        signal.connect(receive, sender=ThanksIOConnection)
    person = Person.objects.create(email=f"{model.__name__}@example.com")
    person_pk = person.pk
    with FakeThanksIO() as thanksio, thanksio.override_settings():
        given = thanksio.connect(person, expires_in=-1)
        access_token, refresh_token = given.tokens.access_token.reveal(), given.tokens.refresh_token.reveal()
        pair = TokenSet(access_token, refresh_token, expires_at=given.expires_at)
        if model is Letterbox:  # first one that is known as a connection alone, then one of the subclass's own
            assert type(model.objects.connect(person, pair)) is ThanksIOConnection
            ThanksIOConnection.objects.get(user=person).delete()
        made = model.objects.connect(person, pair)
        assert (type(made), made.user_id) == (model, person.pk)
        assert thanksio.is_live(made.get_access_token())
        made.refresh(force=True)
        found = model.objects.for_user(person)
        assert (type(found), found.is_connected, found.tokens.version) == (model, True, 3)
        assert list(model.objects.connected().filter(user=person)) == [found]
        assert list(model.objects.needing_reconnect().filter(user=person)) == []
        one_letter(thanksio, found, ThanksIOConnection.objects.for_user(person))
        thanksio.revoke(found.tokens.access_token.reveal())
        try:
            found.refresh()
        except Exception as error:
            assert type(error).__name__ == "ReconnectRequired", error
        assert list(model.objects.needing_reconnect().filter(user=person)) == [found]
        found.disconnect()
    assert not ConnectionTokens.objects.filter(connection__user=person).exists()
    assert not ThanksIOConnection.objects.filter(user=person).exists()
    gone = heard.index("tokens_refreshed")
    assert set(heard[:gone]) == {"connected"}, heard
    events = ConnectionEvent.objects.filter(user=person).order_by("at", "pk").values_list("kind", "code")
    assert list(events)[-2:] == [("reconnect_required", "invalid_grant"), ("disconnected", "")], list(events)
    person.delete()
    assert not ConnectionEvent.objects.filter(user_id=person_pk).exists()
    assert heard[gone:] == ["tokens_refreshed", "tokens_refreshed", "reconnect_required", "disconnected"], heard


def one_letter(thanksio, *connections) -> None:
    """One key of the user's is one order, by whichever class it is sent."""
    sent = len(thanksio.api.orders)
    ids = {each.send_once("welcome").postcard(message="Hi", mailing_list_ids=[1])["id"] for each in connections}
    assert len(ids) == len(thanksio.api.orders) - sent == 1, ids
    assert connections[0].find_order("welcome")["id"] in ids


if __name__ == "__main__":
    main()
