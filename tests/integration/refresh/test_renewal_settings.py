"""A renewal looks up the settings that it uses, and no other."""

from __future__ import annotations

import pytest

from thanksio_connect.conf import setting_names
from thanksio_connect.exceptions import ThanksIOConfigurationError

pytestmark = pytest.mark.django_db
USED = {f"THANKSIO_{name}" for name in ("CLIENT_ID", "CLIENT_SECRET", "TOKEN_URL", "CONNECT_TIMEOUT_SECONDS")}
USED |= {"THANKSIO_READ_TIMEOUT_SECONDS", "THANKSIO_PRODUCT_NAME", "THANKSIO_REFRESH_LEEWAY_SECONDS"}


@pytest.mark.parametrize("name", sorted(set(setting_names()) - USED - {"THANKSIO_PREPARE_SESSION"}))
def test_a_renewal_fails_for_no_setting_that_it_does_not_use(thanksio, django_user_model, settings, name):
    """Such as a scope for connecting, malformed in a release: the connections that are there go on."""
    connection = thanksio.connect(django_user_model.objects.create(username="ann"), expires_in=-1)
    setattr(settings, name, object())
    assert thanksio.is_live(connection.get_access_token())


@pytest.mark.parametrize("name", sorted(USED - {"THANKSIO_REFRESH_LEEWAY_SECONDS"}))
def test_a_setting_that_it_uses_is_named_and_nothing_is_sent(thanksio, django_user_model, settings, name):
    connection = thanksio.connect(django_user_model.objects.create(username="ann"), expires_in=-1)
    setattr(settings, name, object())
    with pytest.raises(ThanksIOConfigurationError, match=name):
        connection.get_access_token()
    assert not thanksio.token_requests("refresh_token")
