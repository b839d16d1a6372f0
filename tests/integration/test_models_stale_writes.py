"""Whatever is written of an old instance, newer tokens stay; and what may be assigned is told from what may not."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core import serializers
from django.core.exceptions import FieldError
from django.core.management import call_command
from django.db import DatabaseError, transaction
from django.forms import modelform_factory
from django.test import Client
from django.utils import timezone
from thanksio_connect.models.stale_writes import GUARDED_COLUMNS

from tests.integration.stored import HOUR, NEWER, TOKENS, connect, load, renew, stored
from thanksio_connect.models import ThanksIOConnection

pytestmark = pytest.mark.django_db


class TestStaleWrites:
    """An old instance is written in every way that Django offers."""

    def test_save(self, stale: ThanksIOConnection) -> None:
        stale.save()
        assert stored() == NEWER

    def test_save_twice_and_full_clean(self, stale: ThanksIOConnection) -> None:
        stale.full_clean()
        stale.save()
        stale.save(force_update=True)
        assert stored() == NEWER

    @pytest.mark.parametrize("name", ["updated_at", "user", "user_id", "expires_at", "thanksio_user_id"])
    def test_save_update_fields(self, stale: ThanksIOConnection, name: str) -> None:
        before = load()
        stale.save(update_fields=[name])
        assert stored() == NEWER
        after = load()
        assert (after.expires_at, after.connected_at) == (before.expires_at, before.connected_at)

    @pytest.mark.parametrize("name", ["connected_at", "last_refreshed_at", "lease_expires_at"])
    def test_save_update_fields_of_datetimes_leaves_them_out(self, stale: ThanksIOConnection, name: str) -> None:
        before = getattr(load(), name)
        stale.save(update_fields=["updated_at", name])  # as update_or_create() does
        assert (getattr(load(), name), *stored()) == (before, *NEWER)
        setattr(stale, name, timezone.now() - HOUR)
        with pytest.raises(FieldError, match=name):
            stale.save(update_fields=["updated_at", name])

    @pytest.mark.parametrize(
        "name", sorted(GUARDED_COLUMNS - {"connected_at", "last_refreshed_at", "lease_expires_at"})
    )
    def test_save_update_fields_of_a_guarded_column_is_refused(self, stale: ThanksIOConnection, name: str) -> None:
        with pytest.raises(FieldError, match="written by the refresh engine"):
            stale.save(update_fields=["updated_at", name])
        assert stored() == NEWER

    def test_copies(self, stale: ThanksIOConnection) -> None:
        for twin in (copy.copy(stale), copy.deepcopy(stale), pickle.loads(pickle.dumps(stale))):
            twin.save()
            assert stored() == NEWER

    def test_a_copy_whose_original_was_renewed(self, stale: ThanksIOConnection) -> None:
        twin = copy.copy(stale)
        stale.refresh_from_db()
        twin.save()
        assert twin.access_token == "access-1"
        assert stored() == NEWER

    def test_select_for_update(self, stale: ThanksIOConnection) -> None:
        with transaction.atomic():
            locked = ThanksIOConnection.objects.select_for_update().get()
            stale.save()
            locked.save()
        assert stored() == NEWER

    def test_only_and_defer(self, stale: ThanksIOConnection) -> None:
        ThanksIOConnection.objects.only("user").get().save()
        ThanksIOConnection.objects.defer("access_token", "refresh_token").get().save()
        part = ThanksIOConnection.objects.only("access_token").get()
        renewed = connect(number=3)
        part.save()
        assert stored() == ("access-3", "refresh-3", renewed.version)

    def test_bulk_update_of_the_projects_columns(self, stale: ThanksIOConnection) -> None:
        stale.updated_at = timezone.now()
        ThanksIOConnection.objects.bulk_update([stale], ["updated_at"])
        assert stored() == NEWER

    def test_a_model_form(self, stale: ThanksIOConnection) -> None:
        form = modelform_factory(ThanksIOConnection, fields="__all__")({"user": stale.user_id}, instance=stale)
        assert set(form.fields) == {"user"}
        assert form.is_valid(), form.errors
        form.save()
        assert stored() == NEWER

    def test_loaddata_of_an_old_dump(self, tmp_path: Any) -> None:
        connect()
        fixture = tmp_path / "dump.json"
        call_command("dumpdata", "thanksio_connect.ThanksIOConnection", output=str(fixture), verbosity=0)
        renew()
        call_command("loaddata", str(fixture), verbosity=0)
        assert stored() == NEWER

    def test_deserialized_objects(self, stale: ThanksIOConnection) -> None:
        data = serializers.serialize("python", [stale])
        for each in serializers.deserialize("python", data):
            each.save()
        assert stored() == NEWER

    def test_a_new_instance_with_an_existing_key(self, stale: ThanksIOConnection) -> None:
        ThanksIOConnection(pk=stale.pk, user_id=stale.user_id, access_token="junk", created_at=stale.created_at).save()
        assert stored() == NEWER

    def test_a_row_that_is_gone_is_not_brought_back(self, stale: ThanksIOConnection) -> None:
        ThanksIOConnection.objects.get().disconnect()
        with pytest.raises(DatabaseError), transaction.atomic():
            stale.save()
        assert not ThanksIOConnection.objects.exists()

    def test_the_admin_page(self, stale: ThanksIOConnection) -> None:
        admin = get_user_model().objects.create_superuser("root", password="pw")
        client = Client()
        client.force_login(admin)
        url = f"/admin/thanksio_connect/thanksioconnection/{stale.pk}/change/"
        page = client.get(url)
        assert page.status_code == 200
        client.post(url, {"user": admin.pk, "access_token": "junk", "status": "reconnect_required"})
        assert stored() == NEWER


class TestAssignments:
    """What a project may set, and what it may not."""

    @pytest.mark.parametrize("name", ["access_token", "refresh_token", "scope", "status", "version", "token_type"])
    def test_a_guarded_column_is_refused(self, name: str) -> None:
        row = connect()
        row = load()
        setattr(row, name, {"version": 7, "status": "reconnect_required"}.get(name, "assigned"))
        with pytest.raises(FieldError, match=rf"{name}.*objects\.connect.*refresh\(\).*disconnect\(\)"):
            row.save()
        assert stored() == (*TOKENS, 1)

    def test_a_deferred_guarded_column_is_refused(self) -> None:
        connect()
        row = ThanksIOConnection.objects.only("user").get()
        row.access_token = "assigned"
        with pytest.raises(FieldError, match="access_token"):
            row.save()
        assert stored() == (*TOKENS, 1)

    @pytest.mark.parametrize("name", ["expires_at", "next_refresh_at", "thanksio_user_id"])
    def test_what_is_assignable_is_written_once_it_was_assigned(self, name: str) -> None:
        connect()
        row = load()
        value = "account-9" if name == "thanksio_user_id" else (timezone.now() - HOUR).replace(microsecond=0)
        setattr(row, name, value)
        row.save()
        assert getattr(load(), name) == value
        renew()
        row.save()  # not assigned since
        assert getattr(load(), name) != value or name == "thanksio_user_id"

    def test_assigning_the_same_value_is_no_assignment(self, stale: ThanksIOConnection) -> None:
        before = load().expires_at
        stale.expires_at = copy.deepcopy(stale.expires_at)
        stale.version = int("1")
        stale.save()
        assert load().expires_at == before
