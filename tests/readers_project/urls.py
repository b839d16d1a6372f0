"""The app's pages, an admin that shows what ours does not, and a view that fails with the tokens in its frame."""

from django.contrib import admin
from django.urls import include, path

from thanksio_connect.models import AuthorizationRequest, ConnectionTokens, ThanksIOConnection


class TokensAdmin(admin.ModelAdmin):
    """Lists each token and shows all there is."""

    list_display = ("pk", "access_token", "refresh_token", "expires_at")
    readonly_fields = tuple(field.name for field in ConnectionTokens._meta.concrete_fields)


class VerifierAdmin(admin.ModelAdmin):
    """Shows the verifier."""

    list_display = ("pk", "code_verifier")
    readonly_fields = ("code_verifier",)


admin.site.register(ConnectionTokens, TokensAdmin)
admin.site.register(AuthorizationRequest, VerifierAdmin)


def fail(request):
    """Raises with everything in local variables."""
    connection = ThanksIOConnection.objects.for_user(request.user)
    tokens, values = connection.tokens, list(ConnectionTokens.objects.values())  # noqa: F841
    attributes, access_token = vars(tokens), tokens.access_token  # noqa: F841
    connection.get_access_token()
    raise RuntimeError(f"{tokens!r} {access_token}")


urlpatterns = [
    path("thanksio/", include("thanksio_connect.urls")),
    path("admin/", admin.site.urls),
    path("fail/", fail),
]
