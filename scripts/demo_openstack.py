"""Shows the queue in front of a whole small OpenStack: `demo_openstack.py [seconds]` (60).

Starts Keystone, Placement, Glance, Nova and four hosts, the broker with one source, and a client
that boots what it is granted. The source logs in by password, after half of the time with an
application credential. Everything runs on loopback in a temporary directory, and is ended.
"""

from __future__ import annotations

import argparse
import random
import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from openstack_cloud import Cloud, nova
from openstack_cloud.broker import TYPE, Broker
from openstack_cloud.everyday_client import EverydayClient
from openstack_cloud.installing import NotInstallable
from openstack_cloud.signals import end_at_signals
from openstack_cloud.waiting import until

SIZES = ((1, 1024, 10), (2, 2048, 10), (4, 4096, 20))
"""VCPU, MB and GB of the servers that jobs ask for."""
HOLD_SECONDS = (3.0, 8.0)
"""How long a job's servers are used, at least and at most."""
SUBMIT_SECONDS = 1.0
"""Time between two submits: more jobs than 16 VCPU can serve, so that some wait."""
AGGREGATE = "gold"
"""The aggregate of the first two hosts, which every fifth job asks for."""
LEGEND = """
Each second a job for one or two servers is submitted: more than {total} VCPU can serve. Columns:
  login, source            how the broker's source logs in to OpenStack; whether its last reading
                           of Placement is fresh, late, or why there is none
  VCPU used, held, free    in servers, as Placement shows them; promised to jobs whose servers the
                           broker has not seen; what it can grant now. A server that boots counts
                           twice until a reading after its client has named it
  servers up, booting      as Nova lists them
  jobs                     queued: it waits. granted: its client is being called back. running: its
                           client took the grant, boots and uses servers. done: it has ended
"""
HEAD = (
    "       login       source      |  VCPU of {total}    | servers    | jobs\n"
    " time                          | used held free | up booting | queued granted running done"
)
HEAD_LINES = 20
"""Lines between two heads of the table."""


class Show:
    """The load, and a line a second about what becomes of it."""

    def __init__(self, cloud: Cloud, broker: Broker, user: EverydayClient) -> None:
        self.cloud, self.broker, self.user = cloud, broker, user
        self.submitted = 0
        self.total = sum(size.vcpus for size in cloud.hosts.values())

    def run(self, seconds: float) -> None:
        """Submit jobs and print a line each second; halfway the source logs in anew."""
        begun = time.monotonic()
        login = "password"
        print(LEGEND.format(total=self.total), flush=True)
        while (now := time.monotonic() - begun) < seconds:
            if now > seconds / 2 and login == "password":
                login = "credential"
                credential = self.cloud.application_credential("broker")
                self.broker.start_notifiers(lab=credential)
                print("--- the broker's notifier starts anew, with an application credential ---")
            if self.submitted % HEAD_LINES == 0:
                print(HEAD.format(total=self.total))
            self.submit()
            print(self.line(now, login), flush=True)
            time.sleep(max(0.0, SUBMIT_SECONDS - (time.monotonic() - begun - now)))

    def finish(self) -> None:
        """Withdraw what waits, wait until the rest has ended, and sum up."""
        self.broker.client.set_policy(TYPE, paused=True)  # none is granted meanwhile
        waiting = list(self.broker.client.jobs(TYPE, status="queued"))
        print(f"--- the time is over: {len(waiting)} jobs that wait are withdrawn, others end ---")
        for job in waiting:
            self.broker.client.withdraw(TYPE, job["RequestID"])
        until(lambda: not self.open_jobs(), "the last jobs to end")
        counts = self.broker.client.types()[TYPE]
        print(
            f"{self.submitted} jobs were submitted: {counts['done']} done, "
            f"{len(waiting)} withdrawn, {counts['error']} failed"
        )
        for sentence in self.user.refusals:
            print(f"failed: {sentence}")
        print(
            f"rq-broker audit, which compares every index with every job: {self.broker.audit()[1]}"
        )

    def open_jobs(self) -> int:
        """Count the jobs that have not ended."""
        counts = self.broker.client.types()[TYPE]
        return self.user.unfinished + sum(
            int(counts[state]) for state in ("queued", "granted", "running")
        )

    def submit(self) -> None:
        """Submit a job of one or two servers."""
        self.submitted += 1
        vcpus, memory, disk = random.choice(SIZES)
        instance = {"VCPU": vcpus, "Memory": memory, "Disk": disk}
        count = 2 if self.submitted % 4 == 0 and vcpus < 4 else 1
        where = {"host_aggregate": AGGREGATE} if self.submitted % 5 == 0 else {}
        name = f"job-{self.submitted:03}"
        data = {"instances": [instance] * count, "project": "lab", **where}
        self.user.submit(self.broker.client, TYPE, name, **data)

    def line(self, seconds: float, login: str) -> str:
        """Describe source, capacity, servers and jobs in one line."""
        hosts = self.broker.hosts().values()
        used, held, free = (
            sum(host[figure].get("VCPU", 0) for host in hosts)
            for figure in ("used", "held", "free")
        )
        states = [server.status for server in self.cloud.operator.compute.servers()]
        (source,) = self.broker.sources()
        state = source["cause"] or ("late" if source["stale"] else "fresh")
        counts = self.broker.client.types()[TYPE]
        return (
            f"{seconds:3.0f} s  {login:10}  {state:11} | {used:4} {held:4} {free:4} | "
            f"{states.count('ACTIVE'):2} {states.count('BUILD'):7} | {counts['queued']:6} "
            f"{counts['granted']:7} {counts['running']:7} {counts['done']:4}"
        )


def show_in(folder: Path, seconds: float) -> None:
    """Start cloud, broker and client with their files in a folder, show them, and end them."""
    with ExitStack() as stack:
        cloud = stack.enter_context(Cloud(folder / "cloud"))
        for size in SIZES:
            nova.flavor(cloud.operator, *size)
        cloud.aggregate(AGGREGATE, *list(cloud.hosts)[:2])
        logins = {"lab": cloud.login_as("broker")}
        broker = stack.enter_context(Broker(folder / "broker", logins))
        broker.wait_for_hosts(*cloud.hosts)
        broker.client.set_policy(TYPE, holds="until_seen", retention=3600)
        user = EverydayClient(
            broker.url, cloud.operator, cloud.image, lambda: random.uniform(*HOLD_SECONDS)
        )
        stack.callback(user.close)
        stack.callback(print, "ending all processes …", flush=True)
        show = Show(cloud, broker, user)
        show.run(seconds)
        show.finish()


def main(seconds: float) -> None:
    random.seed(7)
    end_at_signals()
    try:
        with TemporaryDirectory(ignore_cleanup_errors=True) as directory:
            print(f"A small OpenStack starts, on 127.0.0.1, with all its files in {directory}.")
            print("Ctrl-C ends it, and removes them as well.", flush=True)
            show_in(Path(directory), seconds)
    finally:
        print("all processes have ended, and their files are removed", flush=True)


if __name__ == "__main__":
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("seconds", type=float, nargs="?", default=60.0, help="(60)")
    try:
        main(words.parse_args().seconds)
    except NotInstallable as error:
        raise SystemExit(str(error)) from None
