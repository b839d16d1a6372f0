"""The users' admin."""

from django.contrib import admin

from tests.staff_project.models import Person


@admin.register(Person)
class PersonAdmin(admin.ModelAdmin):
    """Searches by the fields of this project."""

    search_fields = ("known_as", "^mail_address")
    fields = ("mail_address", "known_as")
