"""``manage.py reencrypt_thanksio_tokens``: after a new key was put in front of ``FIELD_ENCRYPTION_KEY``'s list."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from ...encryption_key import encryption_keys
from ...flows.reencrypt import reencrypt_all
from ..plain_command import PlainCommand


class Command(PlainCommand):
    """Exit status: 0 all well, 1 some rows are kept as they are (no key fits, or locked), 2 nothing could be done."""

    help = (
        "Encrypts every stored thanks.io token, and the code verifiers of open authorizations, anew under the first "
        "key of FIELD_ENCRYPTION_KEY. Run it once every server has that key in front: then the old keys can be "
        "removed. Safe to run at any time, and again."
    )

    def run(self, options: dict[str, Any]) -> None:
        """Run and print."""
        encryption_keys()
        summary = reencrypt_all()
        self.say(
            _(
                "re-encrypted %(reencrypted)d, open authorizations %(verifiers)d, undecryptable %(undecryptable)d, "
                "changed meanwhile %(changed_meanwhile)d, not written %(not_written)d"
            )
            % vars(summary)
        )
        if summary.undecryptable:
            self.fail(
                _("Some tokens fit no key of FIELD_ENCRYPTION_KEY; they were kept. Add their key and run again."),
                returncode=1,
            )
        if summary.not_written:
            self.fail(_("Some rows are locked, or may not be written. Keep the old key and run again."), returncode=1)
