"""``manage.py import_thanksio_connections``: from allauth, social-auth or a plain table."""

from __future__ import annotations

import json
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist
from django.core.management.base import CommandParser
from django.db import connections
from django.utils.translation import gettext as _

from ...flows.importing.apps_sources import AllauthSource, SocialAuthSource
from ...flows.importing.candidate import Source, SourceUnusable
from ...flows.importing.importer import Importer, ImportSummary
from ...flows.importing.table_source import TableSource
from ..plain_command import PlainCommand


class Command(PlainCommand):
    """Exit status: 0 all well, 1 some rows could not be used, 2 nothing could be done."""

    help = (
        "Imports connections from another app's tables, which it only reads. A user who is connected here already is "
        "left alone, so it can be run again. Stop whatever else renews these tokens first. Exit status: 0 all well, "
        "1 some rows could not be used (each is a sentence), 2 nothing could be done."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """The options; see ``--help``."""
        parser.add_argument("--from", dest="source", required=True, choices=["allauth", "social-auth", "table"])
        parser.add_argument("--dry-run", action="store_true", help="say what would be done, and write nothing")
        parser.add_argument("--json", action="store_true", help="print the summary as one JSON object")
        parser.add_argument("--database", metavar="ALIAS", help="where the source is (default: where Django reads it)")
        parser.add_argument("--provider", default="thanksio", help="allauth, social-auth: the provider (thanksio)")
        parser.add_argument("--table", metavar="NAME", help="table: its name")
        for field, default in (
            ("user", "user_id"),
            ("access-token", "access_token"),
            ("refresh-token", "refresh_token"),
            ("expires-at", "expires_at"),
            ("scope", ""),
            ("account", ""),
        ):
            words = f"table: the column's name ({default or 'none'})"
            parser.add_argument(f"--{field}-column", default=default, metavar="NAME", help=words)
        parser.add_argument(
            "--user-field", default="pk", metavar="FIELD", help="table: what the user column holds: pk, email, username"
        )

    def run(self, options: dict[str, Any]) -> None:
        """Parse, import, print."""
        importer = Importer(self._source(options), dry_run=options["dry_run"], tell=self._tell(options["json"]))
        try:
            summary = importer.run()
        except SourceUnusable as error:
            self.fail(str(error))
        if options["json"]:
            self.say(json.dumps(summary.as_dict()))
        else:
            self.say(_words(summary))
        if summary.unusable:
            self.fail(_("Some rows could not be used; see above."), returncode=1)

    def _tell(self, is_json: bool) -> Any:
        return (lambda text: None) if is_json else self.say

    def _source(self, options: dict[str, Any]) -> Source:
        using = options["database"]
        if using is not None and using not in connections:
            self.fail(_("There is no database %(name)s in DATABASES.") % {"name": repr(using)})
        if options["source"] == "allauth":
            return AllauthSource(options["provider"], using)
        if options["source"] == "social-auth":
            return SocialAuthSource(options["provider"], using)
        if not options["table"]:
            self.fail(_("--from table needs --table NAME."))
        user_field = options["user_field"]
        try:
            if user_field != "pk":
                get_user_model()._meta.get_field(user_field)
        except FieldDoesNotExist:
            self.fail(_("The user model has no field %(name)s.") % {"name": repr(user_field)})
        columns = {
            field: options[f"{field}_column"]
            for field in ("user", "access_token", "refresh_token", "expires_at", "scope", "account")
        }
        if columns["user"] in (columns["access_token"], columns["refresh_token"]):
            self.fail(_("The user column can't be a token's: sentences name users."))
        return TableSource(options["table"], columns, user_field, using)


def _words(summary: ImportSummary) -> str:
    words = (
        _("would import %(imported)d, already connected %(already_connected)d, not usable %(unusable)d")
        if summary.dry_run
        else _("imported %(imported)d, already connected %(already_connected)d, not usable %(unusable)d")
    )
    return words % vars(summary)
