"""The button, the notice and the variable."""

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ImproperlyConfigured
from django.template import Context, Template
from django.test import RequestFactory

from thanksio_connect.models import ConnectionTokens, ThanksIOConnection

pytestmark = pytest.mark.django_db


def render(source, user=None, **context):
    request = RequestFactory().get("/letters/")
    if user is not None:
        request.user = user
    return Template("{% load thanksio_connect %}" + source).render(
        Context({"request": request, "csrf_token": "csrf", **context})
    )


def fresh(user):
    return type(user).objects.get(pk=user.pk)


def mark_dead():
    ConnectionTokens._base_manager.update(status="reconnect_required")


def test_button_connects_with_a_form(user):
    html = render("{% thanksio_connect_button %}", user)
    assert '<form class="thanksio-form" method="post" action="/thanksio/connect/" ' in html
    assert 'name="csrfmiddlewaretoken" value="csrf"' in html
    assert "Connect thanks.io" in html


def test_button_takes_next(user):
    html = render("{% thanksio_connect_button next='/a/?b=\"c\"' %}", user)
    assert 'name="next" value="/a/?b=&quot;c&quot;"' in html


def test_button_of_a_connected_user_leads_to_the_status_page(user, thanksio):
    thanksio.connect(user)
    html = render("{% thanksio_connect_button %}", fresh(user))
    assert 'href="/thanksio/?next=%2Fletters%2F"' in html
    assert "Connected to thanks.io" in html
    assert "<form" not in html


def test_button_and_notice_ask_to_reconnect(user, thanksio):
    thanksio.connect(user)
    assert render("{% thanksio_reconnect_notice %}", fresh(user)) == ""
    mark_dead()
    for tag in ("thanksio_connect_button", "thanksio_reconnect_notice"):
        html = render(f"{{% {tag} %}}", fresh(user))
        assert "Reconnect thanks.io" in html
        assert 'name="csrfmiddlewaretoken"' in html
    assert 'role="status"' in html


@pytest.mark.parametrize("visitor", [None, AnonymousUser()])
def test_anonymous_visitors_get_a_link_over_the_login(visitor):
    html = render("{% thanksio_connect_button next='/a/' %}", visitor)
    assert 'href="/thanksio/connect/?next=%2Fa%2F"' in html
    assert "<form" not in html
    assert render("{% thanksio_reconnect_notice %}", visitor) == ""
    assert render("{% thanksio_connection as c %}{{ c }}", visitor) == "None"


def test_connection_as_variable(user, thanksio):
    thanksio.connect(user)
    assert render("{% thanksio_connection as c %}{{ c.is_connected }}", fresh(user)) == "True"


def test_all_tags_of_a_page_cost_one_query_and_decrypt_nothing(user, thanksio, django_assert_num_queries, settings):
    thanksio.connect(user)
    settings.FIELD_ENCRYPTION_KEY = "A" * 43 + "="
    source = "{% thanksio_connect_button %}{% thanksio_reconnect_notice %}{% thanksio_connection as c %}{{ c }}"
    person = fresh(user)
    with django_assert_num_queries(1):
        assert "Connected" in render(source, person)
    person = fresh(user)
    ConnectionTokens.objects.all().delete()
    with django_assert_num_queries(1):
        assert "Reconnect" in render(source, person)
    person = fresh(user)
    ThanksIOConnection.objects.all().delete()
    with django_assert_num_queries(1):
        render(source, person)


@pytest.mark.parametrize("tag", ["thanksio_connect_button", "thanksio_reconnect_notice", "thanksio_connection as c"])
def test_without_request_the_error_says_what_to_add(tag):
    template = Template(f"{{% load thanksio_connect %}}{{% {tag} %}}")
    with pytest.raises(ImproperlyConfigured, match=r"context_processors\.request"):
        template.render(Context({}))
