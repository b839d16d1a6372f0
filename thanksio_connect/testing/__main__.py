"""``python -m thanksio_connect.testing``: a stand-in for thanks.io on your own machine, until Ctrl-C.

It prints the settings for your site as ``export`` lines, then each request that it gets. Your browser is asked whether
to allow the connection.
"""

from __future__ import annotations

import argparse
import json
import math
import signal
import sys
import threading
from pathlib import Path

from thanksio_connect.testing.control import Control
from thanksio_connect.testing.records import RequestRecord
from thanksio_connect.testing.refusals import DIALECTS
from thanksio_connect.testing.server import ThanksIOServer

DEFAULT_PORT = 8900


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text} is not a port: give a number from 1 to 65535, or 0 for a free one")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds > 0):
        raise argparse.ArgumentTypeError(f"{text} is not a lifetime: give a number of seconds above 0")
    return seconds


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m thanksio_connect.testing", description=__doc__)
    parser.add_argument("--port", type=_port, default=DEFAULT_PORT, help=f"default: {DEFAULT_PORT}; 0 takes a free one")
    parser.add_argument("--env", type=Path, metavar="FILE", help="write the settings into this file, for your .env")
    parser.add_argument("--auto-allow", action="store_true", help="allow each connection without asking")
    parser.add_argument("--dialect", choices=DIALECTS, default="league9")
    parser.add_argument("--access-token-seconds", type=_seconds, default=3600.0, metavar="SECONDS")
    parser.add_argument("--no-rotate", action="store_true", help="old refresh tokens stay good")
    parser.add_argument("--reuse-detection", action="store_true", help="reuse kills the grant")
    parser.add_argument("--opaque-tokens", action="store_true", help="access tokens are no JWTs")
    parser.add_argument("--json", action="store_true", help="for programs: print one line of JSON, with a control key")
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
        auto_allow=options.auto_allow,
    )
    done = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: done.set())
    try:
        server.start()
        if options.env:
            write_env(options.env, server.settings())
    except OSError as error:
        what = options.env if error.filename else f"Port {options.port}"
        print(f"{what} can't be used: {error.strerror}", file=sys.stderr)
        server.stop()
        return 1
    _announce(server, options)
    if options.until_stdin_closes:
        threading.Thread(target=_wait_for_end_of_input, args=(done,), daemon=True).start()
    done.wait()
    server.faults.clear()
    server.stop()
    return 0


def _announce(server: ThanksIOServer, options: argparse.Namespace) -> None:
    """Tell a program or a person where the server is."""
    if options.json:
        address = {"url": server.url, "settings": server.settings(), "control_key": Control(server).key}
        print(json.dumps(address), flush=True)
        return
    print(f"A stand-in for thanks.io runs at {server.url}/ until Ctrl-C. Nothing is printed, mailed or charged.\n")
    print("\n".join(f"export {name}={value}" for name, value in server.settings().items()))
    print(f"\nThe same lines are in {options.env}." if options.env else "", "Requests:", sep="\n", flush=True)
    server.log.on_finish = lambda record: print(line_of(record), flush=True)


def line_of(record: RequestRecord) -> str:
    """One request in one line: no query, no body, so no secret."""
    status = record.status if record.status is not None else record.reply
    what = f"{record.grant_type}: {record.outcome}" if record.grant_type else record.outcome
    return f"{record.method:<6} {record.path}  {status}  {what}"


def write_env(file: Path, settings: dict[str, str]) -> None:
    """Write ``NAME=value`` lines, without quotes. Lines of other names stay."""
    before = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    kept = [line for line in before if line.removeprefix("export ").partition("=")[0].strip() not in settings]
    lines = [*kept, *(f"{name}={value}" for name, value in settings.items())]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _wait_for_end_of_input(done: threading.Event) -> None:
    sys.stdin.read()
    done.set()


if __name__ == "__main__":
    sys.exit(main())
