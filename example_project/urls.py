"""The product's addresses: its own pages, thanksio_connect, the admin, sign-in and sign-out."""

from django.contrib import admin
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import LoginView, LogoutView
from django.contrib.staticfiles.views import serve
from django.urls import include, path

urlpatterns = [
    path("", include("example_project.product.urls")),
    path("thanksio/", include("thanksio_connect.urls")),
    path("thanksio/webhooks/", include("thanksio_connect.webhook_urls")),
    path("login/", LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("admin/", admin.site.urls),
    # An example serves its static files itself; a real site leaves that to its web server.
    path("static/<path:path>", login_not_required(serve), {"insecure": True}),
]
