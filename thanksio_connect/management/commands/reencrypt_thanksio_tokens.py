"""``manage.py reencrypt_thanksio_tokens``: after a new key was put in front of ``FIELD_ENCRYPTION_KEY``'s list."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _

from ...flows.reencrypt import reencrypt_all


class Command(BaseCommand):
    """Exit status: 0 all well, 1 some tokens fit no key (they are kept as they are)."""

    help = (
        "Encrypts every stored thanks.io token anew under the first key of FIELD_ENCRYPTION_KEY. Afterwards, once "
        "every server runs with the new list, the old keys can be removed. Safe to run at any time, and again."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        """Run and print."""
        summary = reencrypt_all()
        self.stdout.write(
            _("re-encrypted %(reencrypted)d, undecryptable %(undecryptable)d, changed meanwhile %(changed_meanwhile)d")
            % vars(summary)
        )
        if summary.undecryptable:
            raise CommandError(
                _("Some tokens fit no key of FIELD_ENCRYPTION_KEY; they were kept. Add their key and run again."),
                returncode=1,
            )
