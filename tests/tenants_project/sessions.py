"""How such a project names its tenant to the app's private sessions."""

from contextvars import ContextVar
from typing import Any

schema: ContextVar[str] = ContextVar("schema", default="public")  # its middleware sets it


def prepare(session: Any) -> None:
    """``THANKSIO_PREPARE_SESSION``."""
    session.set_schema(schema.get())
