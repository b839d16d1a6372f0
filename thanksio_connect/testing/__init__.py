"""Test a product that uses thanksio_connect: against a real local server that behaves like thanks.io, also
badly.

:class:`FakeThanksIO` is the server; :class:`Fault` one planned misfortune. The pytest fixture is in
:mod:`thanksio_connect.testing.pytest`. ``python -m thanksio_connect.testing`` runs the server as a process of
its own.
"""

from thanksio_connect.testing.django import FakeThanksIO
from thanksio_connect.testing.faults import Fault
from thanksio_connect.testing.grants import Grant, GrantEvent, Pair, Token
from thanksio_connect.testing.records import RequestRecord
from thanksio_connect.testing.server import ThanksIOServer

__all__ = [
    "FakeThanksIO",
    "Fault",
    "Grant",
    "GrantEvent",
    "Pair",
    "RequestRecord",
    "ThanksIOServer",
    "Token",
]
