"""What happens to a connection, for the project to act on.

Sender is ``ThanksIOConnection``; the argument is ``connection``. Each is sent with ``send_robust`` (a receiver that
raises is logged and harms nothing) after the change was committed. No signal carries a token.

``connected`` has ``created`` (False for a reconnect) and ``account_changed`` (True when a reconnect is known to
have used another thanks.io account, None when that can't be known). ``disconnected`` gets the instance as it was; its
row is gone. ``reconnect_required`` comes when thanks.io no longer accepts the grant.
"""

from django.dispatch import Signal

connected = Signal()
disconnected = Signal()
tokens_refreshed = Signal()
reconnect_required = Signal()
