"""Include under any path: ``path("thanksio/", include("thanksio_connect.urls"))``."""

from django.urls import path

from . import views

app_name = "thanksio_connect"

urlpatterns = [
    path("", views.connection, name="connection"),
    path("connect/", views.connect, name="connect"),
    path("callback/", views.callback, name="callback"),
    path("disconnect/", views.disconnect, name="disconnect"),
]
