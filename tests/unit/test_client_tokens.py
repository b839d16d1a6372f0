import base64
import copy
import json
import pickle
import time
from datetime import UTC, datetime, timedelta, timezone

import pytest

from thanksio_connect.client.tokens import LONGEST_LIFETIME_SECONDS, Secret, TokenSet, jwt_expiry
from thanksio_connect.exceptions import InvalidTokenResponse

ACCESS = "ACCESSaccess0123"
REFRESH = "REFRESHrefresh0123"


def jwt(**claims):
    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'RS256'})}.{part(claims)}.c2lnbmF0dXJl"


def read(**body):
    return TokenSet.from_response({"access_token": ACCESS, **body})


class TestSecret:
    def test_is_masked_however_it_is_shown(self):
        secret = Secret(ACCESS)
        shown = [repr(secret), str(secret), f"{secret}", f"{secret!r:>40}", "%s" % secret, repr([secret])]  # noqa: UP031
        assert ACCESS not in "".join(shown)
        assert secret.reveal() == ACCESS

    def test_compares_by_value(self):
        assert Secret("a") == Secret("a")
        assert Secret("a") != Secret("b")
        assert Secret("a") != "a"
        assert Secret("é\ud800") == Secret("é\ud800")
        assert {Secret("a"), Secret("a")} == {Secret(Secret("a"))}

    def test_is_true_only_if_it_holds_something(self):
        assert Secret("a")
        assert not Secret("")

    def test_holds_nothing_but_text(self):
        with pytest.raises(TypeError):
            Secret(b"bytes")  # type: ignore[arg-type]

    def test_survives_copies(self):
        secret = Secret(ACCESS)
        assert copy.deepcopy(secret) == secret
        assert pickle.loads(pickle.dumps(secret)) == secret


class TestTokenSet:
    def test_computes_the_expiry_from_the_lifetime(self):
        before = datetime.now(UTC)
        token_set = TokenSet(access_token=ACCESS, expires_in=60)
        assert before <= token_set.expires_at - timedelta(seconds=60) <= datetime.now(UTC)

    def test_keeps_a_given_expiry_in_utc(self):
        moment = datetime(2030, 1, 1, 12, tzinfo=timezone(timedelta(hours=5)))
        token_set = TokenSet(access_token=ACCESS, expires_in=60, expires_at=moment)
        assert token_set.expires_at == moment
        assert token_set.expires_at.tzinfo is UTC

    @pytest.mark.parametrize("expires_in", [None, 0, -1, True, float("nan"), LONGEST_LIFETIME_SECONDS + 1])
    def test_does_not_guess_from_an_unusable_lifetime(self, expires_in):
        token_set = TokenSet(access_token=ACCESS, expires_in=expires_in)
        assert (token_set.expires_in, token_set.expires_at) == (None, None)

    def test_is_masked(self):
        token_set = TokenSet(access_token=ACCESS, refresh_token=REFRESH, expires_in=60)
        shown = f"{token_set!r} {token_set} {[token_set]}"
        assert ACCESS not in shown
        assert REFRESH not in shown

    def test_is_frozen(self):
        with pytest.raises(AttributeError):
            TokenSet(access_token=ACCESS).access_token = "other"  # type: ignore[misc]

    def test_survives_pickling(self):
        token_set = TokenSet(access_token=ACCESS, refresh_token=REFRESH, expires_in=60)
        assert pickle.loads(pickle.dumps(token_set)) == token_set

    @pytest.mark.parametrize(
        ("field", "arguments"),
        [
            ("access_token", {"access_token": ""}),
            ("access_token", {"access_token": None}),
            ("access_token", {"access_token": b"bytes"}),
            ("access_token", {"access_token": "topsecret with spaces"}),
            ("access_token", {"access_token": "topsecret\r\nX: 1"}),
            ("access_token", {"access_token": "topsecret\n"}),
            ("access_token", {"access_token": "topsecreté"}),
            ("refresh_token", {"access_token": ACCESS, "refresh_token": ""}),
            ("refresh_token", {"access_token": ACCESS, "refresh_token": "topsecret\x00"}),
            ("expires_at", {"access_token": ACCESS, "expires_at": datetime(2030, 1, 1)}),
            ("expires_at", {"access_token": ACCESS, "expires_at": "2030-01-01"}),
            ("scope", {"access_token": ACCESS, "scope": None}),
        ],
    )
    def test_refuses_bad_input_by_the_fields_name(self, field, arguments):
        with pytest.raises(ValueError, match=field) as caught:
            TokenSet(**arguments)
        assert "topsecret" not in str(caught.value)
        own_frames = [entry.frame.f_locals for entry in caught.traceback[1:]]
        assert own_frames
        assert "topsecret" not in repr(own_frames)


class TestFromResponse:
    @pytest.mark.compliance("RFC 6749", "5.1")
    def test_reads_a_full_answer(self):
        token_set = read(refresh_token=REFRESH, expires_in=3600, token_type="bearer", scope="a b", extra=[1])
        assert token_set.access_token == ACCESS
        assert token_set.refresh_token == REFRESH
        assert token_set.expires_in == 3600
        assert token_set.token_type == "Bearer"
        assert token_set.scope == "a b"
        assert token_set.expires_at is not None

    @pytest.mark.parametrize(
        "access_token",
        [None, "", 5, True, ["a"], {"a": 1}, "with space", "a\r\nb", "a\n", "\x00", "tokén", "\u202e", "a\tb"],
    )
    def test_refuses_an_unusable_access_token(self, access_token):
        with pytest.raises(InvalidTokenResponse):
            TokenSet.from_response({"access_token": access_token, "refresh_token": REFRESH})

    @pytest.mark.parametrize("token_type", ["mac", "", 5, ["Bearer"], "Bearer "])
    def test_refuses_another_token_type(self, token_type):
        with pytest.raises(InvalidTokenResponse):
            read(token_type=token_type)

    @pytest.mark.parametrize("token_type", ["Bearer", "bearer", "BEARER", None])
    def test_takes_a_bearer_token(self, token_type):
        assert read(token_type=token_type).token_type == "Bearer"

    @pytest.mark.parametrize("refresh_token", [None, "", 5, True, ["a"], "a b", "a\r\nb", "é"])
    def test_takes_an_unusable_refresh_token_for_a_missing_one(self, refresh_token):
        assert read(refresh_token=refresh_token).refresh_token is None

    @pytest.mark.parametrize(
        ("expires_in", "seconds"),
        [(3600, 3600), ("3600", 3600), ("3600.9", 3600), (3600.5, 3600), (1, 1), (31536000, 31536000)],
    )
    def test_reads_a_lifetime(self, expires_in, seconds):
        token_set = read(expires_in=expires_in)
        assert token_set.expires_in == seconds
        left = (token_set.expires_at - datetime.now(UTC)).total_seconds()
        assert seconds - 5 < left <= seconds

    @pytest.mark.parametrize(
        "expires_in",
        [
            None,
            0,
            -1,
            "0",
            "-5",
            "",
            "soon",
            "1e3",
            "٣٦٠٠",
            True,
            False,
            [],
            {},
            0.5,
            float("inf"),
            float("nan"),
            10**12,
            10**400,
            "9" * 40,
        ],
    )
    def test_has_an_unknown_expiry_without_a_usable_lifetime(self, expires_in):
        token_set = read(expires_in=expires_in)
        assert (token_set.expires_in, token_set.expires_at) == (None, None)

    def test_falls_back_on_the_jwts_hint(self):
        exp = int(time.time()) + 1800
        token_set = TokenSet.from_response({"access_token": jwt(exp=exp), "expires_in": 0})
        assert token_set.expires_in is None
        assert token_set.expires_at == datetime.fromtimestamp(exp, UTC)

    def test_prefers_the_lifetime_to_the_jwts_hint(self):
        token_set = TokenSet.from_response({"access_token": jwt(exp=time.time() + 10**6), "expires_in": 60})
        assert token_set.expires_at < datetime.now(UTC) + timedelta(seconds=61)

    @pytest.mark.parametrize(
        ("scope", "kept"), [(None, ""), (5, ""), (["a", "b"], "a b"), ([1], ""), ("a\nb", ""), ("a b", "a b")]
    )
    def test_reads_the_scope_leniently(self, scope, kept):
        assert read(scope=scope).scope == kept

    def test_keeps_the_live_tokens_beside_a_broken_one_out_of_the_traceback(self):
        with pytest.raises(InvalidTokenResponse) as caught:
            TokenSet.from_response({"access_token": "", "refresh_token": REFRESH})
        assert REFRESH not in repr([entry.frame.f_locals for entry in caught.traceback[1:]])


class TestJwtExpiry:
    def test_reads_exp(self):
        exp = int(time.time()) + 60
        assert jwt_expiry(jwt(exp=exp)) == datetime.fromtimestamp(exp, UTC)
        assert jwt_expiry(jwt(exp=exp + 0.5)) == datetime.fromtimestamp(exp + 0.5, UTC)

    @pytest.mark.parametrize(
        "exp",
        [
            None,
            True,
            "soon",
            "9999999999",
            0,
            -1,
            1,
            1e300,
            10**400,
            float("nan"),
            float("inf"),
            [1],
            1_800_000_000_000,
        ],
    )
    def test_ignores_a_senseless_exp(self, exp):
        assert jwt_expiry(jwt(exp=exp)) is None

    @pytest.mark.parametrize(
        "token",
        [
            "",
            "opaque",
            "a.b",
            "..",
            "a.b.c.d",
            "a.!!!.c",
            "é.é.é",
            f"a.{base64.urlsafe_b64encode(b'[1]').decode()}.c",
            f"a.{base64.urlsafe_b64encode(bytes([255, 254])).decode()}.c",
            f"a.{base64.urlsafe_b64encode(b'[' * 100_000).decode()}.c",
            f"a.{base64.urlsafe_b64encode(b'1' * 10_000).decode()}.c",
            None,
        ],
    )
    def test_never_raises(self, token):
        assert jwt_expiry(token) is None
