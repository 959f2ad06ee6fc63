"""Strike a real small OpenStack behind the broker's back, and check its figures. `chaos.py [SEED]`

60 jobs of plain, unnamed, silent and deaf clients meet deletions, migrations, resizes, evacuation,
killed hosts, renamed aggregates, and outages of Keystone, Placement, Nova's API and a notifier.
Takes some seven minutes, 2 GB, and what openstack_cloud installs. Exits with 1 if a rule is broken.
"""

from __future__ import annotations

import argparse
import random
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from chaosing import outages, tables
from chaosing.book import Book
from chaosing.clients import BOOTS, ORDER, SETTLE_SECONDS, Clients, Kind
from chaosing.lab import Lab
from chaosing.outages import Outages
from chaosing.promises import DEAD, TWICE, Promises
from chaosing.rest import Rest, settled
from chaosing.strikes import Strikes
from chaosing.tables import Verdict
from openstack_cloud import Cloud
from openstack_cloud.broker import TYPE, Broker
from openstack_cloud.proxy import ServiceProxy
from openstack_cloud.signals import end_at_signals

from rq_broker.client import Client
from rq_broker.client.policy_types import PolicyChange

HOSTS = ("c1", "c2", "c3", "c4")
ADDED = "c5"
GOLD, SILVER = "gold", "silver"
KINDS: Sequence[tuple[int, Kind]] = (
    (5, Kind(keeps=True)),
    (12, Kind()),
    (8, Kind(cores=(2,))),
    (5, Kind(cores=(1, 1))),
    (4, Kind(cores=(2, 1, 1), spread=True)),
    (6, Kind(aggregate=GOLD)),
    (4, Kind(cores=(2, 1), aggregate=SILVER)),
    (6, Kind("unnamed")),
    (3, Kind("unnamed", cores=(1, 1))),
    (5, Kind("silent")),
    (2, Kind("deaf")),
)
"""How many jobs of each kind: 60 in all."""
FIRST, APART_SECONDS = 12, 3.5
"""Jobs submitted at once at the beginning, and seconds between two of the others."""
DRAIN_SECONDS = 150.0
"""How long jobs may take to end after the last strike: a silent client's runs into its limit."""
DAILY_TOKEN_SECONDS, SHORT_TOKEN_SECONDS = 3600, 8
DELAY_SECONDS = 1.5
"""What a slow Placement adds to each answer: less than the source's `timeout`."""
SOURCE: Mapping[str, str | float] = {"cloud": "chaos", "interval": 2, "timeout": 5}
OPTIONS = ("--timeout", "3")
"""Options of the notifiers: clients that do not answer are soon given up."""
POLICY: PolicyChange = {
    "holds": "until_seen",
    "settle": SETTLE_SECONDS,
    "offer": 25,
    "running": 60,
    "retention": 3600,
    "patience": 30,
}
"""Short limits: a dead client's job must end within the run. `settle` is longer than a boot takes,
`running` longer than a client's servers live without a word."""


def kinds() -> list[Kind]:
    """Mix the jobs; those that end by a limit come early, so that the run need not wait for it."""
    slow = [
        kind for count, kind in KINDS for _ in range(count) if kind.manner in {"silent", "deaf"}
    ]
    others = [kind for count, kind in KINDS for _ in range(count) if kind not in slow]
    random.shuffle(others)
    return [*others[:FIRST], *slow, *others[FIRST:]]


def submit_all(broker_url: str, clients: Clients, book: Book) -> None:
    """Submit the jobs, some at once and the others one by one."""
    with Client(broker_url) as broker:
        for number, kind in enumerate(kinds()):
            if number >= FIRST:
                time.sleep(APART_SECONDS)
            clients.submit(broker, kind)
    book.say(f"all {len(clients.jobs)} jobs are submitted")


def poll(checked: Promises, over: threading.Event) -> None:
    """Keep the ages of Placement's consumers up to date."""
    while not over.wait(1.0):
        checked.poll()


def strike(strikes: Strikes, away: Outages, lab: Lab, checked: Promises) -> None:
    """Do everything once, the quick acts several times."""

    def learn() -> None:
        checked.capacity = lab.capacity(lab.providers().items())

    for name, act, times in (
        ("servers deleted behind their client's back", strikes.delete, 2),
        ("servers migrated live", strikes.migrate_live, 2),
        ("servers migrated cold", strikes.migrate_cold, 2),
        ("servers resized", strikes.resize, 2),
        ("servers shelved and unshelved", strikes.shelve, 1),
    ):
        strikes.on_servers(name, act, times)
    strikes.rename(GOLD, "golden")
    time.sleep(6)
    strikes.rename("golden", GOLD)
    strikes.add_host(ADDED, learn)
    strikes.disable("c4", 12)
    strikes.kill_and_evacuate(strikes.busiest())
    away.placement_stopped(12)
    away.placement_slow(12)
    away.keystone_away(6, SHORT_TOKEN_SECONDS, must_tell=False)
    for notifier in away.broker.notifiers:
        away.notifier_killed(notifier)  # they log in anew, and get a token of that life
    strikes.on_servers("servers deleted behind their client's back", strikes.delete)
    away.rotate_keys()
    strikes.on_servers("servers migrated live", strikes.migrate_live)
    away.keystone_away(20, DAILY_TOKEN_SECONDS, must_tell=True)
    away.rotate_keys()
    away.nova_api_away(8)
    away.placement_frozen(12)
    strikes.rename(SILVER, "argent")
    strikes.rename("argent", SILVER)


def rules(book: Book, resting: Rest, deployment: Broker) -> list[Verdict]:
    """Check the rules of the whole run; nothing moves any more, and every client has ended."""
    grants = f"{book.seen['grants told']} grants"
    boots = tables.boots(book)
    code, audit = deployment.audit()
    idle = [f"{name}: never done" for name in book.refused if not book.done[name]]
    jobs = f"{len(resting.clients.jobs)} jobs"
    return [
        *(
            Verdict(rule, seen, book.faults.get(rule, ()))
            for rule, seen in (
                (TWICE, grants),
                (ORDER, grants),
                (DEAD, grants),
                (BOOTS, boots),
                (outages.TOLD, "Placement twice, Keystone once"),
                (outages.FRESH, f"{book.seen['recoveries of the source']} outages"),
            )
        ),
        Verdict("every act was carried out", f"{sum(book.done.values())} acts", idle),
        Verdict("every job ends", jobs, resting.unended()),
        Verdict("nothing is held at the end", "all hosts", settled(resting.held)),
        Verdict(
            "used and capacity are Placement's, after all", "all hosts", settled(resting.usage)
        ),
        Verdict(
            "hosts are in the aggregates that Nova says", "all hosts", settled(resting.aggregates)
        ),
        Verdict("the audit is clean", audit.splitlines()[-1], audit.splitlines() if code else ()),
        Verdict("no process logs a traceback", "3 logs", deployment.tracebacks()),
    ]


def rest_with_servers(resting: Rest) -> list[Verdict]:
    """Compare the figures while servers of jobs and of others are up."""
    usage, holds = settled(resting.usage), settled(resting.holds)
    up = len(list(resting.lab.compute.servers(all_projects=True)))
    return [
        Verdict("used and capacity are Placement's, in between", f"{up} servers up", usage),
        Verdict("held is what running jobs have not used", f"{up} servers up", holds),
    ]


def started(target: Callable[..., None], *arguments: object) -> threading.Thread:
    """Start a thread that ends with the script."""
    thread = threading.Thread(target=target, args=arguments, daemon=True)
    thread.start()
    return thread


def deployed(cloud: Cloud, placement: ServiceProxy, folder: Path) -> Broker:
    """Return the broker with two notifiers, whose source reads Placement through the proxy."""
    login = cloud.through(cloud.login_as("broker"), placement=placement)
    return Broker(folder, {"chaos": login}, [SOURCE], notifiers=2, notifier_options=OPTIONS)


def run(cloud: Cloud, folder: Path) -> int:
    """Run the chaos on a cloud; returns the exit code."""
    book = Book()
    cloud.aggregate(GOLD, "c1", "c2")
    cloud.aggregate(SILVER, "c3", "c4")
    lab = Lab(cloud)
    providers = lab.providers()
    checked = Promises(lab.capacity(providers.items()), lab.usage_or_none, lab.takes_work, book)
    with (
        cloud.proxy("placement", DELAY_SECONDS) as placement,
        deployed(cloud, placement, folder / "broker") as deployment,
    ):
        broker = deployment.client
        deployment.wait_for_hosts(*HOSTS)
        broker.set_policy(TYPE, **POLICY)
        clients = Clients(lab, deployment.url, checked, book)
        strikes = Strikes(cloud, lab, clients, checked, book)
        away = Outages(cloud, placement, deployment, checked, book)
        resting = Rest(broker, lab, clients)
        over = threading.Event()
        submits = started(submit_all, deployment.url, clients, book)
        started(poll, checked, over)
        tenants = strikes.tenants_until(over)
        strike(strikes, away, lab, checked)
        submits.join()
        over.set()
        tenants.join()
        keepers = {name for name, kind in clients.jobs.items() if kind.keeps}
        book.say("the last strike is over; others leave, and the jobs are awaited")
        strikes.clean_up()
        settled(lambda: [name for name in resting.unended() if name not in keepers], DRAIN_SECONDS)
        found = rest_with_servers(resting)
        book.say("the clients that keep their servers are told to end")
        clients.ends.set()
        clients.join()
        settled(resting.unended)
        found += rules(book, resting, deployment)
        statuses = resting.statuses()
        clients.receiver.stop()
    print("\n".join(["", tables.acts(book), "", tables.sightings(book, statuses.items()), ""]))
    print(tables.verdicts(found), flush=True)
    print(f"{time.monotonic() - book.begun:.0f} s")
    return int(any(verdict.broken for verdict in found))


def main(seed: int) -> int:
    """Bring a cloud up, run the chaos on it, end it."""
    random.seed(seed)
    end_at_signals()
    with TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        folder = Path(directory)
        with Cloud(folder / "cloud", HOSTS) as cloud:
            return run(cloud, folder)


if __name__ == "__main__":
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("seed", type=int, nargs="?", default=12, help="of what happens when (12)")
    sys.exit(main(words.parse_args().seed))
