"""Django's admin, and a second site beside it."""

from django.contrib import admin
from django.urls import include, path

from tests.staff_project.admin import PersonAdmin
from tests.staff_project.models import Person
from thanksio_connect.admin import ThanksIOConnectionAdmin
from thanksio_connect.models import ThanksIOConnection

office = admin.AdminSite(name="office")
office.register(Person, PersonAdmin)
office.register(ThanksIOConnection, ThanksIOConnectionAdmin)
urlpatterns = [
    path("admin/", admin.site.urls),
    path("office/", office.urls),
    path("thanksio/", include("thanksio_connect.urls")),
]
