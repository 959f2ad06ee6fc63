"""Measure, and print one table: `bench.py [--quick] [name …]`, every benchmark if none is named."""

from __future__ import annotations

import argparse
import signal
import sys
import time

from benches.asking import asking
from benches.auditing import audit
from benches.authorised import jwt_submit, keystone_submit, token_submit
from benches.bulk import bulk_submit, bulk_withdraw
from benches.bursting import burst
from benches.calling import callbacks
from benches.dialling import tls
from benches.granting import empty_pass, grants
from benches.growing import growth
from benches.http_submitting import http_submit, workers
from benches.kit import Figure, Size
from benches.latency import callback_latency, freed, many_types
from benches.listing import listing
from benches.planning import reservations
from benches.reporting import reports
from benches.starting import start
from benches.submitting import memory, submit
from benches.waiting import waiting

BENCHES = {
    "http-submit": http_submit,
    "token-submit": token_submit,
    "jwt-submit": jwt_submit,
    "keystone-submit": keystone_submit,
    "workers": workers,
    "submit": submit,
    "bulk-submit": bulk_submit,
    "bulk-withdraw": bulk_withdraw,
    "growth": growth,
    "memory": memory,
    "callback-latency": callback_latency,
    "types": many_types,
    "grants": grants,
    "pass": empty_pass,
    "reservation": reservations,
    "freed": freed,
    "callbacks": callbacks,
    "tls": tls,
    "burst": burst,
    "asking": asking,
    "waiting": waiting,
    "audit": audit,
    "listing": listing,
    "start": start,
    "reports": reports,
}
COLUMNS = ("figure", "value", "ratio", "wanted")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller sizes")
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(BENCHES))
    parsed = parser.parse_args()
    if unknown := set(parsed.names) - set(BENCHES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(BENCHES)}")
    return parsed


def table(figures: list[Figure]) -> str:
    rows = [
        COLUMNS,
        *((figure.name, figure.value, figure.ratio, figure.wanted) for figure in figures),
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rule = ["-" * width for width in widths]
    lines = [rows[0], rule, *rows[1:]]
    return "\n".join("| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines)


def main() -> None:
    asked = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is ended
    figures: list[Figure] = []
    try:
        for name in asked.names or BENCHES:
            started = time.monotonic()
            print(f"{name} …", end="", flush=True, file=sys.stderr)
            figures += BENCHES[name](Size(asked.quick))
            print(f" {time.monotonic() - started:.0f} s", file=sys.stderr)
    finally:
        print(table(figures))


if __name__ == "__main__":
    main()
