"""Run by ``tests/integration/commands/test_import_thanksio_connections.py`` in a process of its own."""

import io
import json
from datetime import UTC, datetime, timedelta

import pytest
from allauth.socialaccount.models import SocialAccount, SocialToken
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import connection
from social_django.models import UserSocialAuth

from thanksio_connect.models import ThanksIOConnection

pytestmark = pytest.mark.django_db
SOON = datetime(2035, 1, 2, 3, 4, 5, tzinfo=UTC)


def user(name):
    return get_user_model().objects.create_user(name, email=f"{name}@shop.example")


def run(*args, status=0):
    out = io.StringIO()
    try:
        call_command("import_thanksio_connections", *args, stdout=out)
        got = 0
    except CommandError as error:
        got = error.returncode
        out.write(str(error))
    assert got == status, out.getvalue()
    assert "Traceback" not in out.getvalue()
    return out.getvalue()


def stored(name):
    tokens = ThanksIOConnection.objects.get(user__username=name).tokens
    return tokens.access_token.reveal(), tokens.refresh_token.reveal(), tokens.expires_at


class TestAllauth:
    def token(self, name, provider="thanksio", uid="u-1", **fields):
        account = SocialAccount.objects.create(user=user(name), provider=provider, uid=uid)
        values = {"token": f"access-{name}", "token_secret": f"refresh-{name}", "expires_at": SOON} | fields
        return SocialToken.objects.create(account=account, **values)

    def test_tokens_are_imported_once_and_the_source_stays(self):
        self.token("alice")
        self.token("bob", uid="u-2")
        self.token("carol", provider="github")
        before = list(SocialToken.objects.values())
        assert "would import 2" in run("--from", "allauth", "--dry-run")
        assert not ThanksIOConnection.objects.exists()
        assert "imported 2, already connected 0, not usable 0" in run("--from", "allauth")
        assert stored("alice") == ("access-alice", "refresh-alice", SOON)
        assert ThanksIOConnection.objects.get(user__username="bob").thanksio_user_id == "u-2"
        assert "imported 0, already connected 2" in run("--from", "allauth")
        assert list(SocialToken.objects.values()) == before
        assert not ThanksIOConnection.objects.filter(user__username="carol").exists()

    def test_tokens_that_were_renewed_here_since_are_not_replaced(self):
        self.token("alice")
        run("--from", "allauth")
        tokens = ThanksIOConnection.objects.get().tokens
        type(tokens)._base_manager.update(access_token="newer", refresh_token="newer-too", version=2)
        run("--from", "allauth")
        assert stored("alice")[:2] == ("newer", "newer-too")

    def test_each_bad_row_is_a_sentence_and_stops_nobody(self):
        self.token("alice", token="")
        self.token("bob", token="with space", uid="u-2")
        self.token("carol", token_secret="", expires_at=datetime.now(UTC) - timedelta(days=1), uid="u-3")
        self.token("dave", token_secret="", uid="u-4")
        self.token("erin", expires_at=None, uid="x" * 150)
        text = run("--from", "allauth", status=1)
        assert "it has no access token." in text
        assert "its tokens are no text that a header can carry." in text
        assert "its access token has expired, and it has no refresh token." in text
        assert "imported 2, already connected 0, not usable 3" in text
        assert "with space" not in text
        assert ThanksIOConnection.objects.get(user__username="dave").tokens.refresh_token == ""
        assert stored("erin")[2] is None

    def test_an_unknown_provider_names_those_that_are_there(self):
        self.token("alice", provider="github")
        assert "There are: github." in run("--from", "allauth", status=2)
        assert "imported 1" in run("--from", "allauth", "--provider", "github")

    def test_a_user_with_two_accounts_gets_the_newer(self):
        first = self.token("alice")
        account = SocialAccount.objects.create(user=first.account.user, provider="thanksio", uid="u-9")
        SocialToken.objects.create(account=account, token="access-9", token_secret="refresh-9", expires_at=SOON)
        assert "imported 1, already connected 1" in run("--from", "allauth")
        assert stored("alice")[0] == "access-9"

    def test_many_pages(self):
        for number in range(230):
            self.token(f"user{number}", uid=f"u-{number}")
        assert json.loads(run("--from", "allauth", "--json"))["imported"] == 230

    def test_a_wrong_key_is_a_sentence(self, settings):
        self.token("alice")
        settings.FIELD_ENCRYPTION_KEY = "short"
        assert "FIELD_ENCRYPTION_KEY is malformed" in run("--from", "allauth", status=2)


class TestSocialAuth:
    def association(self, name, data, uid="u-1"):
        return UserSocialAuth.objects.create(user=user(name), provider="thanksio", uid=uid, extra_data=data)

    def test_a_lifetime_counts_from_the_time_of_the_login(self):
        began = int(datetime.now(UTC).timestamp())
        data = {"access_token": "a", "refresh_token": "r", "expires": 3600, "auth_time": began, "scope": "x y"}
        row = self.association("alice", data)
        assert "imported 1" in run("--from", "social-auth")
        assert stored("alice") == ("a", "r", datetime.fromtimestamp(began + 3600, UTC))
        assert ThanksIOConnection.objects.get().tokens.scope == "x y"
        row.refresh_from_db()
        assert row.extra_data == data

    @pytest.mark.parametrize(
        ("data", "expected"),
        [
            ({"expires": 2051197445}, datetime.fromtimestamp(2051197445, UTC)),
            ({"expires": "3600"}, None),
            ({"expires": None}, None),
            ({}, None),
        ],
    )
    def test_other_shapes_of_the_expiry(self, data, expected):
        self.association("alice", {"access_token": "a", "refresh_token": "r", **data})
        run("--from", "social-auth")
        assert stored("alice")[2] == expected

    @pytest.mark.parametrize("data", [{}, [], "text", "{", 5, None, {"access_token": 5}, {"access_token": ["a"]}])
    def test_bad_data_is_a_sentence(self, data):
        self.association("alice", data if data is not None else {})
        self.association("bob", {"access_token": "a", "refresh_token": "r"}, uid="u-2")
        assert "imported 1, already connected 0, not usable 1" in run("--from", "social-auth", status=1)

    @pytest.mark.parametrize("expires", ["soon", 1e300, float("inf"), -5e20, [1]])
    def test_an_absurd_expiry_is_a_sentence(self, expires):
        data = {"access_token": "a", "refresh_token": "r", "expires": expires, "auth_time": 1}
        self.association("alice", {**data, "expires": repr(expires) if expires == float("inf") else expires})
        assert "UserSocialAuth" in run("--from", "social-auth", status=1)


class TestTable:
    @pytest.fixture(autouse=True)
    def _table(self):
        with connection.cursor() as cursor:
            cursor.execute(
                "CREATE TABLE old_tokens (owner varchar(99), access varchar(99), refresh varchar(99), "
                "until varchar(99))"
            )
        yield
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE old_tokens")

    OPTIONS = (
        *("--from", "table", "--table", "old_tokens", "--user-column", "owner", "--user-field", "email"),
        *("--access-token-column", "access", "--refresh-token-column", "refresh", "--expires-at-column", "until"),
    )

    def fill(self, *rows):
        with connection.cursor() as cursor:
            cursor.executemany("INSERT INTO old_tokens VALUES (%s, %s, %s, %s)", rows)

    def test_columns_have_any_name(self):
        for name in ("alice", "bob", "carol"):
            user(name)
        self.fill(
            ("alice@shop.example", "a1", "r1", "2035-01-02 03:04:05"),
            ("alice@shop.example", "a0", "r0", "2034-01-02 03:04:05"),
            ("bob@shop.example", "a2", "r2", "2051313845"),
            ("carol@shop.example", "a3", "r3", "not a date"),
            ("nobody@shop.example", "a4", "r4", None),
            (None, "a5", "r5", None),
        )
        text = run(*self.OPTIONS, status=1)
        assert "imported 2, already connected 1, not usable 3" in text
        assert "there is no user 'nobody@shop.example'." in text
        assert "its expiry is no moment." in text
        assert "it names no user." in text
        assert stored("alice") == ("a1", "r1", SOON)
        assert stored("bob")[2] == datetime.fromtimestamp(2051313845, UTC)
        with connection.cursor() as cursor:
            cursor.execute("SELECT COUNT(*) FROM old_tokens")
            assert cursor.fetchone() == (6,)

    def test_seconds_in_a_numeric_column(self):
        """PostgreSQL and MariaDB give a Decimal."""
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE old_tokens")
            cursor.execute(
                "CREATE TABLE old_tokens (owner varchar(99), access varchar(99), refresh varchar(99), "
                "until numeric(14, 3))"
            )
        user("dora")  # MariaDB commits at a new table
        self.fill(("dora@shop.example", "a1", "r1", "2051313845.5"))
        assert "imported 1" in run(*self.OPTIONS)
        assert stored("dora")[2] == datetime.fromtimestamp(2051313845.5, UTC)

    def test_a_user_column_that_is_not_there_is_a_sentence_for_each_row(self):
        self.fill(("alice@shop.example", "a1", "r1", None))
        assert "row 1 of old_tokens: it names no user." in run(*self.OPTIONS, "--user-column", "", status=1)

    def test_pages_of_rows(self):
        people = [user(f"user{number}") for number in range(600)]
        self.fill(*[(each.email, f"a-{each.pk}", "r", None) for each in people])
        assert "imported 600" in run(*self.OPTIONS)
        assert "imported 0, already connected 600" in run(*self.OPTIONS)

    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            (("--from", "table"), "--from table needs --table NAME."),
            (("--from", "table", "--table", "nothing"), "There is no table nothing."),
            (("--from", "table", "--table", "old_tokens"), "has no column user_id"),
            (("--from", "table", "--table", "x; DROP TABLE old_tokens"), "There is no table x;"),
            ((*OPTIONS, "--user-field", "shoe"), "The user model has no field 'shoe'."),
            ((*OPTIONS, "--database", "other"), "There is no database 'other'"),
            ((*OPTIONS, "--user-column", "access"), "The user column can't be a token's"),
        ],
    )
    def test_what_cannot_be_done_is_a_sentence(self, options, sentence):
        assert sentence in run(*options, status=2)

    def test_a_users_key_that_is_none(self):
        self.fill(("x", "a", "r", None))
        options = [option for option in self.OPTIONS if option not in ("--user-field", "email")]
        assert "can't be a user's pk." in run(*options, status=1)
