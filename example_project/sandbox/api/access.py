"""Who may call: the bearer token, the method and the rate limit, answered as Laravel answers."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps

from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from oauth2_provider.oauth2_backends import get_oauthlib_core

from thanksio_connect.testing import api_shapes

View = Callable[..., HttpResponse]
WINDOW_SECONDS = 60


def endpoint(*methods: str) -> Callable[[View], View]:
    """Needs a living bearer token; ``request.user`` and ``request.client`` are the token's."""

    def decorate(view: View) -> View:
        @csrf_exempt
        @wraps(view)
        def guarded(request: HttpRequest, **kwargs: str) -> HttpResponse:
            is_valid, oauth_request = get_oauthlib_core().verify_request(request, scopes=[])
            if not is_valid:
                return JsonResponse(api_shapes.UNAUTHENTICATED, status=401)
            request.user = oauth_request.user
            request.client = oauth_request.client
            remaining = _spend(request.user.pk)
            if remaining < 0:
                response: HttpResponse = JsonResponse(api_shapes.TOO_MANY, status=429)
                response["Retry-After"] = str(WINDOW_SECONDS - int(time.time()) % WINDOW_SECONDS)
            elif request.method not in methods:
                response = method_not_allowed(request, *methods)
            else:
                response = view(request, **kwargs)
            response["x-ratelimit-limit"] = str(settings.SANDBOX_RATE_LIMIT_PER_MINUTE)
            response["x-ratelimit-remaining"] = str(max(remaining, 0))
            return response

        return guarded

    return decorate


def method_not_allowed(request: HttpRequest, *methods: str) -> JsonResponse:
    allowed = ", ".join(methods)
    message = f"The {request.method} method is not supported for this route. Supported methods: {allowed}."
    return JsonResponse({"message": message}, status=405, headers={"Allow": allowed})


def _spend(user_id: int) -> int:
    """Requests left in this minute, after this one; negative when there were none."""
    key = f"api-rate-{user_id}-{int(time.time()) // WINDOW_SECONDS}"
    cache.add(key, 0, timeout=2 * WINDOW_SECONDS)
    return settings.SANDBOX_RATE_LIMIT_PER_MINUTE - cache.incr(key)
