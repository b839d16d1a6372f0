"""The admin, whose list of connections is measured, and the app's own pages."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("thanksio/", include("thanksio_connect.urls")),
]
