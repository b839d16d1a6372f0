"""Middleware of a host project that means no good, or no harm."""

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.db import transaction


class RaisesAfterwards:
    """Fails once the view has answered."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        self.get_response(request)
        raise RuntimeError("the project's middleware")


class OneTransaction:
    """A transaction around everything, rolled back if the answer is an error."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        with transaction.atomic():
            response = self.get_response(request)
            if response.status_code >= 400:
                transaction.set_rollback(True)
        return response


class SignedInByHeader:
    """No session, no ``AuthenticationMiddleware``: a gateway says who it is."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        name = request.headers.get("x-user")
        request.user = get_user_model().objects.get(username=name) if name else AnonymousUser()
        return self.get_response(request)
