"""``python -m thanksio_connect.testing``: run the fake as a process of its own.

Prints one line of JSON (``url``, ``settings``, ``control_key``) once it listens; ends on SIGINT or SIGTERM.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading

from thanksio_connect.testing.control import Control
from thanksio_connect.testing.refusals import DIALECTS
from thanksio_connect.testing.server import ThanksIOServer


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m thanksio_connect.testing", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument("--dialect", choices=DIALECTS, default="league9")
    parser.add_argument("--access-token-seconds", type=float, default=3600.0)
    parser.add_argument("--no-rotate", action="store_true", help="old refresh tokens stay good")
    parser.add_argument("--reuse-detection", action="store_true", help="reuse kills the grant")
    parser.add_argument("--opaque-tokens", action="store_true", help="access tokens are no JWTs")
    parser.add_argument("--until-stdin-closes", action="store_true", help="end when standard input ends")
    return parser


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    server = ThanksIOServer(
        port=options.port,
        dialect=options.dialect,
        access_token_seconds=options.access_token_seconds,
        rotate=not options.no_rotate,
        reuse_detection=options.reuse_detection,
        jwt=not options.opaque_tokens,
    )
    control = Control(server)
    done = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: done.set())
    try:
        server.start()
    except OSError as error:
        print(f"Port {options.port} can't be used: {error.strerror}", file=sys.stderr)
        return 1
    address = {"url": server.url, "settings": server.settings(), "control_key": control.key}
    print(json.dumps(address), flush=True)
    if options.until_stdin_closes:
        threading.Thread(target=_wait_for_end_of_input, args=(done,), daemon=True).start()
    done.wait()
    server.faults.clear()
    server.stop()
    return 0


def _wait_for_end_of_input(done: threading.Event) -> None:
    sys.stdin.read()
    done.set()


if __name__ == "__main__":
    sys.exit(main())
