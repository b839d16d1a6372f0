"""The demo itself: make everything ready, start both servers, say where they are, wait."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable

from django.utils.translation import gettext as _

from example_project.demo import keys
from example_project.demo.processes import (
    Address,
    Children,
    DemoError,
    check_ports,
    prepare,
    raise_if_interrupted,
    start_servers,
    tail,
)

PRODUCT_PORT = 8000
SANDBOX_PORT = 8001
WATCH_SECONDS = 0.5


def run(product_port: int | None, sandbox_port: int | None, say: Callable[[str], None]) -> None:
    """Serve until interrupted. Raises DemoError when it can't start, or when a server ends by itself."""
    product, sandbox = addresses(product_port or PRODUCT_PORT, sandbox_port or SANDBOX_PORT)
    check_ports(product, sandbox)  # first: what answers there may be another demo, on the same databases
    directory = keys.demo_directory()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    say(_("Preparing the databases in %(directory)s …") % {"directory": directory})
    with Children(keys.child_environment(directory, product.url, sandbox.url), directory) as children:
        prepare(children)
        keys.write_addresses(directory, product.url, sandbox.url)
        servers = start_servers(children, product, sandbox)
        say(welcome(product, sandbox))
        while True:
            for part, process in servers.items():
                if process.poll() is not None:
                    raise DemoError(f"The {part} ended by itself:\n{tail(children.log_file(part))}")
            time.sleep(WATCH_SECONDS)
            raise_if_interrupted()


def addresses(product_port: int, sandbox_port: int) -> tuple[Address, Address]:
    """Two origins in earnest: two host names as well, because cookies don't know ports."""
    if importlib.util.find_spec("oauth2_provider") is None:
        raise DemoError(_('The sandbox needs django-oauth-toolkit. Install it: pip install -e ".[demo]"'))
    if product_port == sandbox_port:
        raise DemoError(_("The product and the sandbox need a port each: --port and --sandbox-port."))
    return Address("localhost", product_port), Address("127.0.0.1", sandbox_port)


def welcome(product: Address, sandbox: Address) -> str:
    rows = [
        (_("The product"), f"{product.url}/", "demo / demo"),
        (_("Its admin"), f"{product.url}/admin/", "admin / admin"),
        (_("thanks.io sandbox"), f"{sandbox.url}/", "demo / demo"),
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    lines = [f"  {name:<{widths[0]}}  {url:<{widths[1]}}  {login}" for name, url, login in rows]
    start = _("Sign in to the product and press “Connect”. Nothing is mailed, nobody is charged.")
    return "\n".join(["", *lines, "", f"  {start}", "  " + _("Ctrl-C stops both."), ""])
