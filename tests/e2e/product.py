"""The example product as a process beside a local thanks.io that fails on order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from example_project.demo import keys, processes
from thanksio_connect.testing import ThanksIOServer


@contextmanager
def product_beside(thanksio: ThanksIOServer, directory: Path, **environment: str) -> Iterator[str]:
    """Its URL, while it runs. ``directory`` gets its database; ``environment`` wins over the usual settings."""
    address = processes.Address("localhost", processes.free_ports()[0])
    usual = keys.child_environment(directory, address.url, thanksio.url) | thanksio.settings()
    with processes.Children(usual | {"THANKSIO_READ_TIMEOUT_SECONDS": "2"} | environment, directory) as children:
        prepared = children.start("prepare", "-m", "example_project.demo.prepare", "product")
        assert prepared.wait() == 0, processes.tail(children.log_file("prepare"))
        where = f"{address.host}:{address.port}"
        server = children.start("product", "-m", "example_project.demo.serve", "product", where)
        processes.wait_until_ready(children, server, "product", f"{address.url}/login/")
        yield address.url
