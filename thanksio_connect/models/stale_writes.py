"""The ORM's side of a row whose tokens may have been renewed since it was loaded: it never brings old ones back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar

from django.core.exceptions import FieldError
from django.db import models, router

from ..fields import EncryptedValue
from ..refresh.row import ASSIGNABLE_COLUMNS, ENGINE_COLUMNS

if TYPE_CHECKING:
    from django.db.models.query import QuerySet

Row = TypeVar("Row", bound=models.Model)

GUARDED_COLUMNS = ENGINE_COLUMNS - ASSIGNABLE_COLUMNS
# ``update_or_create()`` saves every datetime column, assigned or not: these are left out rather than refused.
_WRITTEN_BY_DJANGO = {"lease_expires_at", "last_refreshed_at", "connected_at"}


def refuse(columns: Iterable[str]) -> None:
    """Raises :class:`~django.core.exceptions.FieldError`, which says what to call instead, for a guarded column."""
    if guarded := sorted(GUARDED_COLUMNS.intersection(columns)):
        raise FieldError(
            f"{', '.join(guarded)}: written by the refresh engine alone, for a stale write would lose the connection. "
            "Call ThanksIOConnection.objects.connect(user, token_set) to store tokens, connection.refresh() to renew "
            "them, connection.disconnect() to remove them."
        )


def _differ(value: object, loaded: object) -> bool:
    return value is not loaded and (isinstance(loaded, EncryptedValue) or value != loaded)


class GuardedQuerySet(models.QuerySet[Row]):
    """A queryset that can't overwrite tokens."""

    def update(self, **kwargs: Any) -> int:
        """As in Django, but refuses the engine's columns with :class:`~django.core.exceptions.FieldError`."""
        refuse(kwargs)
        return super().update(**kwargs)

    def bulk_update(self, objs: Iterable[Row], fields: Iterable[str], *args: Any, **kwargs: Any) -> int:
        """As in Django, but refuses the engine's columns with :class:`~django.core.exceptions.FieldError`."""
        fields = list(fields)
        refuse(fields)
        return super().bulk_update(objs, fields, *args, **kwargs)

    def bulk_create(self, objs: Iterable[Row], *args: Any, **kwargs: Any) -> list[Row]:
        """As in Django, but a conflict can't update the engine's columns."""
        refuse(kwargs.get("update_fields") or (args[3] if len(args) > 3 else None) or ())
        return super().bulk_create(objs, *args, **kwargs)

    bulk_create.alters_data = True  # type: ignore[attr-defined]


class GuardedModel(models.Model):
    """``save()``, ``loaddata`` and ``refresh_from_db()`` treat the engine's columns apart from the project's."""

    class Meta:
        abstract = True

    @classmethod
    def from_db(cls, *args: Any, **kwargs: Any) -> Self:
        """As in Django; remembers what was loaded, so that ``save()`` can tell an assignment from a stale value."""
        instance = super().from_db(*args, **kwargs)
        instance._remember()
        return instance

    def _remember(self) -> None:
        self._loaded = {name: self.__dict__[name] for name in ENGINE_COLUMNS if name in self.__dict__}

    def save(self, *args: Any, **kwargs: Any) -> None:
        """As in Django, but an existing row's engine-owned columns are left out.

        A token that was assigned is refused with :class:`~django.core.exceptions.FieldError`; ``expires_at``,
        ``next_refresh_at`` and ``thanksio_user_id`` are written when they were assigned.
        """
        refuse(set(kwargs.get("update_fields") or ()) - _WRITTEN_BY_DJANGO)
        refuse(self._assigned())  # here, where the caller's transaction is not marked for rollback
        super().save(*args, **kwargs)
        self._remember()

    def _save_table(
        self,
        raw: bool = False,
        cls: type[models.Model] | None = None,
        force_insert: bool = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Iterable[str] | None = None,
    ) -> bool:
        """As in Django; the common end of ``save()`` and ``loaddata``, which keeps an existing row's tokens too."""
        if not force_insert and self._row_exists(using):
            assigned = set() if raw else self._assigned() & ASSIGNABLE_COLUMNS
            fields = [field for field in self._meta.concrete_fields if not field.primary_key]
            if update_fields is not None:
                fields = [field for field in fields if field.name in update_fields or field.attname in update_fields]
            update_fields = frozenset(
                field.name for field in fields if field.attname not in ENGINE_COLUMNS or field.attname in assigned
            )
            if not update_fields:
                return True  # Django would take "none" for "all"
        saved: bool = super()._save_table(raw, cls, force_insert, force_update, using, update_fields)  # type: ignore[misc]
        return saved

    def _assigned(self) -> set[str]:
        """The engine-owned columns that the project set to another value than was loaded."""
        if self._state.adding:
            return set()
        loaded: dict[str, Any] = self.__dict__.get("_loaded", {})
        held = {name: value for name, value in self.__dict__.items() if name in ENGINE_COLUMNS}
        return {name for name, value in held.items() if name not in loaded or _differ(value, loaded[name])}

    def clean_fields(self, exclude: Iterable[str] | None = None) -> None:
        """As in Django; stored tokens are neither decrypted nor assigned again, so ``full_clean(); save()`` works."""
        tokens = () if self._state.adding else ("access_token", "refresh_token")
        super().clean_fields(exclude={*(exclude or ()), *tokens})

    def _row_exists(self, using: str | None) -> bool:
        if not self._state.adding:
            return True
        if self.pk is None:
            return False
        using = using or router.db_for_write(type(self), instance=self)
        return type(self)._base_manager.using(using).filter(pk=self.pk).exists()

    def refresh_from_db(
        self,
        using: str | None = None,
        fields: Iterable[str] | None = None,
        from_queryset: QuerySet[Self] | None = None,
    ) -> None:
        """As in Django; the engine-owned columns are read together, and no token is decrypted."""
        if fields is None:
            self.__dict__["_prefetched_objects_cache"] = {}
            names = {field.attname for field in self._meta.concrete_fields} - self.get_deferred_fields()
        else:
            names = set(fields)
        if owned := names & ENGINE_COLUMNS:
            rows = type(self)._base_manager.using(using or self._state.db) if from_queryset is None else from_queryset
            fresh = rows.only(*owned).get(pk=self.pk)
            self.adopt({name: fresh.__dict__[name] for name in owned})
        super().refresh_from_db(using=using, fields=names - owned, from_queryset=from_queryset)

    def adopt(self, values: Mapping[str, Any]) -> None:
        """Take over what the engine wrote or read, without a query and without decrypting anything."""
        self.__dict__.update(values)
        self._loaded = {**self.__dict__.get("_loaded", {}), **values}  # a copy of the instance shares the old dict
