"""``python -m benchmarks speed`` and ``python -m benchmarks peers``: Markdown on standard output."""

from __future__ import annotations

import argparse
import os
import sys

from benchmarks.database import benchmark_database
from thanksio_connect.testing.remote import RemoteThanksIO

DATABASES = ("postgres", "sqlite", "mariadb")
SPEED_PARTS = ("fresh", "cpu", "refresh", "waiters", "api", "table", "sweep")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    speed = commands.add_parser("speed", help="ratios against physical limits and hand-written code")
    speed.add_argument("--database", choices=DATABASES, default="postgres")
    speed.add_argument("--only", choices=SPEED_PARTS)
    speed.add_argument(
        "--check", action="store_true", help="fewer rounds; fail if a count is missed, or a ratio by half"
    )
    peers = commands.add_parser("peers", help="what other libraries do on the same work")
    peers.add_argument("--database", choices=DATABASES, default="postgres")
    peers.add_argument("--rounds", type=int, default=10, help="races of each peer and provider")
    peers.add_argument("--only", help="names of peers, with commas")
    return parser


def main() -> int:
    options = _parser().parse_args()
    return {"speed": _speed, "peers": _peers}[options.command](options)


def _speed(options: argparse.Namespace) -> int:
    os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"
    with RemoteThanksIO.launch() as thanksio:
        os.environ.update(thanksio.settings)
        with benchmark_database(options.database):
            from benchmarks.report import findings_table
            from benchmarks.speed.run import measure

            findings = measure(thanksio, quick=options.check, only=options.only)
    print(f"\n{options.database}\n\n{findings_table(findings)}")
    far_off = [finding.what for finding in findings if finding.is_far_off]
    if options.check and far_off:
        print("\nMissed by a wide margin: " + "; ".join(far_off), file=sys.stderr)
        return 1
    return 0


def _peers(options: argparse.Namespace) -> int:
    os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"  # the provider listens on 127.0.0.1 without TLS
    os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"
    with RemoteThanksIO.launch() as forgiving, RemoteThanksIO.launch("--reuse-detection") as strict:
        os.environ.update(forgiving.settings)
        with benchmark_database(options.database):
            from benchmarks.peers.run import report

            names = options.only.split(",") if options.only else None
            print(f"\n{options.database}\n")
            print(report(forgiving, strict, rounds=options.rounds, names=names))
    return 0


if __name__ == "__main__":
    sys.exit(main())
