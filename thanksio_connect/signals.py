"""What happens to a connection, for the project to act on.

Sender is ``ThanksIOConnection``; the argument is ``connection``. Each is sent with ``send_robust`` (a receiver that
raises is logged and harms nothing; a time limit of yours that ends it comes out) after the change was committed. No
signal carries a token.

``connected`` has ``created`` (False for a reconnect) and ``account_changed`` (True when a reconnect is known to
have used another thanks.io account, None when that can't be known). ``disconnected`` gets the instance as it was; its
row is gone. ``reconnect_required`` comes when thanks.io no longer accepts the grant.

A renewal for which thanks.io was asked ends in one of three: ``tokens_refreshed``, ``refresh_failed`` (it will be tried
again, or the configuration is wrong) or ``reconnect_required``. Each of these has ``outcome`` (``refreshed``, or the
failure's code) and ``duration_seconds`` (from the request to thanks.io until the outcome was stored).

``webhook_received`` has ``event`` (see :mod:`thanksio_connect.webhooks`): a hint, once for each event, in no
order. It comes once the event is noted and thanks.io has its answer.
"""

from django.dispatch import Signal

#: A user has connected, or connected again. Has ``created`` and ``account_changed``.
connected = Signal()
#: A connection was removed here. ``connection`` is the instance as it was.
disconnected = Signal()
#: A renewal went well. Has ``outcome`` and ``duration_seconds``.
tokens_refreshed = Signal()
#: A renewal failed and will be tried again, or the configuration is wrong. Has ``outcome`` and ``duration_seconds``.
refresh_failed = Signal()
#: thanks.io no longer accepts the grant: the owner has to connect again. Has ``outcome`` and ``duration_seconds``.
reconnect_required = Signal()
#: thanks.io has sent an event to this connection's own address. Has ``event``.
webhook_received = Signal()
