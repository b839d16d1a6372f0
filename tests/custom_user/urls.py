"""The app's pages, and a place to sign in."""

from django.urls import include, path

urlpatterns = [
    path("accounts/", include("django.contrib.auth.urls")),
    path("thanksio/", include("thanksio_connect.urls")),
]
