"""The example product as a process beside a local thanks.io that fails on order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from example_project.demo import keys, processes
from tests.prepared_demo import copy_demo
from thanksio_connect.testing import ThanksIOServer


@contextmanager
def product_beside(thanksio: ThanksIOServer, directory: Path, template: Path, **environment: str) -> Iterator[str]:
    """Its URL, while it runs. ``directory`` gets the template's; ``environment`` wins over the usual settings."""
    copy_demo(template, directory)
    address = processes.Address("localhost", processes.free_ports()[0])
    usual = keys.child_environment(directory, address.url, thanksio.url) | thanksio.settings()
    with processes.Children(usual | {"THANKSIO_READ_TIMEOUT_SECONDS": "2"} | environment, directory) as children:
        where = f"{address.host}:{address.port}"
        server = children.start("product", "-m", "example_project.demo.serve", "product", where)
        processes.wait_until_ready(children, server, "product", f"{address.url}/login/")
        yield address.url
