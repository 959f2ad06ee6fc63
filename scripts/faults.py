"""Strike Redis and the broker under load, and print what was lost. `faults.py [OPTIONS] [ONLY …]`

A row is one fault on one way to run Redis: one server with a standby, Sentinels, or a Cluster of
six. ONLY names ways and faults. The last columns are seconds from Redis's own recovery to the next
submit and to the next callback, and bytes of log. With `--from REVISION` the processes run an
earlier commit until the fault `upgrade` brings them to this one.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from contextlib import ExitStack
from dataclasses import replace

from benches.checkout import ROOT, checkout
from faulting.strikes import FAILS_OVER, LOSES_STATE, ONLY_CLUSTER, STRIKES
from faulting.topologies import ClusterOfSix, SentinelTrio, Single, Way
from faulting.trial import Plan, Result, run

TOPOLOGIES = (Single, SentinelTrio, ClusterOfSix)
QUICK = (
    (Single, "kill"), (Single, "move"), (Single, "cut"), (SentinelTrio, "kill"),
    (ClusterOfSix, "move"), (ClusterOfSix, "open-slot"),
)  # fmt: skip
RECOVERY_SECONDS = 5.0
"""Within this time of Redis's own recovery the broker has to serve."""
HEAD = (
    "topology", "fault", "acknowledged", "gone", "oversold", "twice", "left", "error", "audit",
    "repeats", "own 409", "submit s", "grant s", "log B",
)  # fmt: skip


def plans(only: list[str], *, quick: bool) -> list[Plan]:
    """List the trials: the whole matrix, or a small one; of the named ones only."""
    pairs: list[tuple[Way, str]] = list(QUICK) if quick else [
        (topology, fault)
        for topology in TOPOLOGIES
        for fault in STRIKES
        if topology is ClusterOfSix or fault not in ONLY_CLUSTER
    ]  # fmt: skip
    names = {topology.name for topology in TOPOLOGIES} & set(only)
    faults = STRIKES.keys() & set(only)
    return [
        Plan(topology, fault)
        for topology, fault in pairs
        if (not names or topology.name in names) and (not faults or fault in faults)
    ]


def row(result: Result) -> list[str]:
    """Render a result."""
    ledger = result.ledger
    return [
        result.topology, result.fault, str(len(ledger.acknowledged)), str(len(result.gone)),
        str(ledger.oversold), str(len(ledger.double_granted)), str(result.left),
        str(result.failed), str(len(result.faults)), str(ledger.repeats),
        str(ledger.own_duplicates), seconds(result.submits_after), seconds(result.grants_after),
        str(result.log_bytes),
    ]  # fmt: skip


def seconds(value: float | None) -> str:
    """Render seconds; `never` where nothing came."""
    return "never" if value is None else f"{value:.1f}"


def misses(result: Result) -> list[str]:
    """List in what a result falls short of what is wanted."""
    ledger = result.ledger
    redis_may_lose = result.fault in LOSES_STATE or (
        result.topology == SentinelTrio.name and result.fault in FAILS_OVER
    )
    waits = (result.submits_after, result.grants_after)
    wanted = {
        "acknowledged jobs are gone": redis_may_lose or not result.gone,
        "capacity was oversold": redis_may_lose or not ledger.oversold,
        "jobs were granted twice": redis_may_lose or not ledger.double_granted,
        "jobs were left": redis_may_lose or not result.left,
        "the audit found faults": not result.faults,
        "a client was refused its own submit": not ledger.own_duplicates,
        "a loss was not told": not result.gone or '"losses":{}' not in result.told,
        "recovery took long": all(s is not None and s <= RECOVERY_SECONDS for s in waits),
    }
    return [text for text, kept in wanted.items() if not kept]


def main() -> int:
    """Run the trials; returns the number of those that fell short."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="six of the trials")
    parser.add_argument("--devices", action="store_true", help="jobs need parts of devices")
    parser.add_argument("--from", dest="revision", help="run this commit until `upgrade`")
    parser.add_argument("--verbose", action="store_true", help="print answers and findings too")
    parser.add_argument("only", nargs="*", help="topologies and faults")
    options = parser.parse_args()
    print(" | ".join(HEAD))
    failed = 0
    with ExitStack() as stack:
        tree = stack.enter_context(checkout(options.revision)) if options.revision else ROOT
        for plan in plans(options.only, quick=options.quick):
            result = asyncio.run(run(replace(plan, has_devices=options.devices, tree=tree)))
            short = misses(result)
            failed += bool(short)
            print(" | ".join(row(result)) + (f" | MISSED: {'; '.join(short)}" if short else ""))
            if options.verbose:
                print(f"  {dict(result.ledger.answers)}\n  {result.faults[:10]}\n  {result.told}")
            sys.stdout.flush()
    return failed


if __name__ == "__main__":
    sys.exit(min(1, main()))
