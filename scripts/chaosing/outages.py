"""Takes away services: of OpenStack, as the broker's source sees it, and of the broker itself."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from faulting.proxy import Mode
from openstack_cloud import Cloud
from openstack_cloud.broker import TYPE, Broker
from openstack_cloud.installing import FOLDER
from openstack_cloud.proxy import ServiceProxy

from chaosing.book import Book
from chaosing.promises import Promises

BACK_SECONDS = 30.0
"""Within this time after a service is back the source must be fresh again: a request that hangs
ends after its timeout, and the next snapshot begins an interval later."""
FRESH = "after each outage the source is fresh again in time"
TOLD = "an outage is told in /readyz"


class Outages:
    """Outages of one cloud and its broker, each with an end."""

    def __init__(
        self, cloud: Cloud, placement: ServiceProxy, broker: Broker, promises: Promises, book: Book
    ) -> None:
        """`placement`: through which the broker's source reads."""
        self.cloud, self.placement, self.broker = cloud, placement, broker
        self.promises, self.book = promises, book

    @contextmanager
    def blind(self, name: str) -> Iterator[None]:
        """Run an outage, in which the source sees nothing new; afterwards it must recover."""
        with self.book.act(name):
            self.promises.blind(source_reads=False)
            yield
        began = time.monotonic()
        while states := self.states():
            if time.monotonic() - began > BACK_SECONDS:
                self.book.fault(FRESH, f"{name}: {states}")
                break
            time.sleep(0.3)
        self.book.count("recoveries of the source")
        self.book.say(f"the source was fresh {time.monotonic() - began:.1f} s later")
        self.promises.poll()
        self.promises.blind(source_reads=True)

    def must_tell(self, name: str) -> None:
        """Record a fault unless /readyz says now that the source is stale."""
        states = self.states()
        self.book.say(f"{name}: the source is {states or 'fresh'}")
        if not states:
            self.book.fault(TOLD, f"{name}: the source counted as fresh")

    def states(self) -> str:
        """Return the cause and the age of a stale source; empty while it is fresh."""
        stale = [state for state in self.broker.sources(TYPE) if state["stale"]]
        return ", ".join(f"{state['cause']} for {state['age_seconds']:.0f} s" for state in stale)

    # OpenStack

    def keystone_away(self, seconds: float, token_seconds: int, *, must_tell: bool) -> None:
        """Kill Keystone, and start it again with tokens of another life.

        Args:
            seconds: How long it is away.
            token_seconds: How long the tokens are valid that it gives out afterwards.
            must_tell: Whether its absence must be told: where tokens end before it is back.
        """
        with self.blind("Keystone stopped"):
            self.cloud.kill("keystone")
            path = self.cloud.layout.path("etc", "keystone", "keystone.conf")
            text = re.sub(r"expiration = \d+", f"expiration = {token_seconds}", path.read_text())
            path.write_text(text)
            time.sleep(seconds)
            if must_tell:
                self.must_tell("Keystone stopped")
            self.cloud.start("keystone")
        self.book.say(f"tokens of {token_seconds} s from now on")

    def rotate_keys(self) -> None:
        """Rotate Keystone's keys, as operators do each day."""
        with self.book.act("Keystone's keys rotated"):
            configuration = self.cloud.layout.path("etc", "keystone", "keystone.conf")
            program = FOLDER / "bin" / "keystone-manage"
            ids = ("--keystone-user", str(os.geteuid()), "--keystone-group", str(os.getegid()))
            command = [str(program), "--config-file", str(configuration), "fernet_rotate", *ids]
            subprocess.run(command, check=True, capture_output=True)

    def placement_stopped(self, seconds: float) -> None:
        """Kill Placement, and start it again."""
        with self.blind("Placement stopped"):
            self.cloud.kill("placement")
            time.sleep(seconds)
            self.must_tell("Placement stopped")
            self.cloud.start("placement")

    def placement_frozen(self, seconds: float) -> None:
        """Let Placement accept connections and answer nothing for a while."""
        with self.blind("Placement frozen"):
            self.cloud.freeze("placement")
            time.sleep(seconds)
            self.must_tell("Placement frozen")
            self.cloud.thaw("placement")

    def placement_slow(self, seconds: float) -> None:
        """Delay each answer of Placement to the source."""
        with self.blind("Placement slow for the source"):
            self.placement.set(Mode.DELAY)
            time.sleep(seconds)
            self.placement.set(Mode.PASS)

    def nova_api_away(self, seconds: float) -> None:
        """Stop Nova's API, and start it again."""
        with self.blind("Nova's API stopped"):
            self.cloud.kill("nova-api")
            time.sleep(seconds)
            self.cloud.start("nova-api")

    # The broker

    def notifier_killed(self, notifier: str) -> None:
        """Kill a notifier and start it again; the other one takes over."""
        with self.blind("notifiers killed"):
            self.broker.restart(notifier)
