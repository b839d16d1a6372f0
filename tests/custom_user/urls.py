"""The app's pages alone."""

from django.urls import include, path

urlpatterns = [path("thanksio/", include("thanksio_connect.urls"))]
