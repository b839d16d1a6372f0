"""The demo's keys: made on first use, kept in an ignored file, put into the environment.

Both settings modules (the product's and the sandbox's) call :func:`load`, so that a fresh clone needs no
setup. A variable that is already in the environment wins: so the product is pointed at the real thanks.io.
"""

from __future__ import annotations

import base64
import os
import secrets
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import environ

REPOSITORY = Path(__file__).resolve().parents[2]
SANDBOX_URL = "http://127.0.0.1:8001"


def _password() -> str:
    return secrets.token_urlsafe(48)


def _fernet_key() -> str:
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


MAKERS: Mapping[str, Callable[[], str]] = {
    "SECRET_KEY": _password,
    "FIELD_ENCRYPTION_KEY": _fernet_key,
    "THANKSIO_CLIENT_ID": lambda: secrets.token_hex(16),
    "THANKSIO_CLIENT_SECRET": _password,
    "SANDBOX_SECRET_KEY": _password,
    "SANDBOX_INSPECTION_KEY": _password,
}


def demo_directory() -> Path:
    """Where the demo keeps its databases and keys: ``THANKSIO_DEMO_DIR``, else ``var/`` in the repository."""
    return Path(os.environ.get("THANKSIO_DEMO_DIR") or REPOSITORY / "var").resolve()


def load() -> environ.Env:
    """Put the demo's keys and addresses into ``os.environ`` where nothing is set yet, and hand back a reader.

    Creates the directory (mode 0700) and ``demo.env`` (mode 0600) if missing; two processes that start at
    once end up with the same keys.
    """
    directory = demo_directory()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    key_file = directory / "demo.env"
    if not key_file.exists():
        _publish(key_file, {name: make() for name, make in MAKERS.items()})
    environ.Env.read_env(str(key_file))
    missing = {name: make() for name, make in MAKERS.items() if name not in os.environ}
    if missing:  # the file was made by an older version of the demo
        with key_file.open("a", encoding="ascii") as stream:
            stream.write(_lines(missing))
        os.environ.update(missing)
    _load_addresses(directory / "addresses.env")
    return environ.Env()


def write_addresses(directory: Path, product_url: str, sandbox_url: str) -> None:
    """Remember where the two servers answer, for commands run beside them (``refresh_thanksio_tokens``)."""
    target = directory / "addresses.env"
    scratch = _scratch(target, {"DEMO_PRODUCT_URL": product_url, "DEMO_SANDBOX_URL": sandbox_url})
    scratch.replace(target)


def child_environment(directory: Path, product_url: str, sandbox_url: str) -> dict[str, str]:
    """The environment of the demo's processes: its own keys and addresses, whatever the shell exports."""
    dropped = {*MAKERS, "DJANGO_SETTINGS_MODULE"}
    environment = {
        name: value for name, value in os.environ.items() if name not in dropped and not name.startswith("THANKSIO_")
    }
    return environment | {
        "THANKSIO_DEMO_DIR": str(directory),
        "DEMO_PRODUCT_URL": product_url,
        "DEMO_SANDBOX_URL": sandbox_url,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")])),
        "PYTHONUNBUFFERED": "1",
    }


def _load_addresses(address_file: Path) -> None:
    if address_file.exists():
        environ.Env.read_env(str(address_file))
    sandbox = os.environ.setdefault("DEMO_SANDBOX_URL", SANDBOX_URL)
    os.environ.setdefault("THANKSIO_AUTHORIZE_URL", f"{sandbox}/oauth/authorize")
    os.environ.setdefault("THANKSIO_TOKEN_URL", f"{sandbox}/oauth/token")
    os.environ.setdefault("THANKSIO_API_URL", f"{sandbox}/api/v2")


def _lines(values: Mapping[str, str]) -> str:
    return "".join(f"{name}={value}\n" for name, value in values.items())


def _scratch(target: Path, values: Mapping[str, str]) -> Path:
    """Write a complete file beside ``target``; ``mkstemp`` gives it mode 0600."""
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}-")
    with os.fdopen(descriptor, "w", encoding="ascii") as stream:
        stream.write(_lines(values))
    return Path(name)


def _publish(target: Path, values: Mapping[str, str]) -> None:
    """Give ``target`` its content at once and only once: whoever comes second keeps the first one's file."""
    scratch = _scratch(target, values)
    try:
        os.link(scratch, target)
    except FileExistsError:
        pass
    except OSError:  # no hard links on this file system
        if not target.exists():
            scratch.replace(target)
    finally:
        scratch.unlink(missing_ok=True)
