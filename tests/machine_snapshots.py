"""The rules of the state machine about a source: servers of jobs, and snapshots that show them."""

from __future__ import annotations

import time
from collections import Counter

from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from rq_broker.domain.jobs import Status
from rq_broker.store.broker import SourceReport
from tests.machine_arrays import ArrayRules
from tests.model_job import SOURCE, SOURCE_HOST, Place
from tests.model_snapshots import source_host
from tests.strategies import NAMES, TYPE

USES = st.dictionaries(NAMES, st.tuples(st.sampled_from(["s", "s", "h"]), st.integers(0, 3)))
"""Job → the host on which its server runs, and how much it uses there."""


class SnapshotRules(ArrayRules):
    """Starts servers and applies snapshots by the broker and by the model alike."""

    @rule(name=NAMES)
    def boot(self, name: str) -> None:
        """A client says that its job runs, as a server."""
        name = self.stored(name)
        self.both(
            self.broker.transition(TYPE, name, Status.RUNNING, servers=(_server(name),)),
            lambda: self.model.transition(name, Status.RUNNING, has_servers=True),
        )

    @rule(capacity=st.integers(2, 4), others=st.integers(0, 4), uses=USES)
    def snapshot(self, capacity: int, others: int, uses: dict[str, tuple[str, int]]) -> None:
        """A source shows its host, what others use there, and what the servers of jobs use."""
        used_by = {
            self.stored(name): Counter({(host, "R"): amount})
            for name, (host, amount) in uses.items()
        }
        used = Counter({"R": others})
        for amounts in used_by.values():
            used["R"] += amounts[SOURCE_HOST, "R"]
        self.apply(capacity, used, used_by)

    def apply(self, capacity: int, used: Counter[str], used_by: dict[str, Counter[Place]]) -> None:
        """Apply a snapshot; one without capacity has no host."""
        time.sleep(0.002)  # what was released in the same millisecond is kept
        begun = self.run(self.broker.watch(TYPE, SOURCE, 1, 5.0))
        assert begun is not None
        host = source_host(capacity, used)
        self.model.apply(host, used_by)
        shares = {_server(name): dict(amounts) for name, amounts in used_by.items()}
        hosts = [host] if capacity else []
        report = SourceReport(self.model.snapshots, hosts, shares)
        assert self.run(self.broker.apply(TYPE, SOURCE, 1, begun.begun, report)) is not None

    @invariant()
    def parts_of_grants_match_the_model(self) -> None:
        """Compare what of a grant is held, used by servers, or neither, and what is told."""
        for job in self.model.jobs.values():
            if job.seen or job.unheld:
                hold = self.run(self.broker.job_hold(TYPE, job.request_id))
                for amounts, known in (
                    (hold.held, job.holds),
                    (hold.seen, job.seen),
                    (hold.unheld, job.unheld),
                ):
                    flat = {(host, r): n for host, rs in amounts.items() for r, n in rs.items()}
                    assert flat == known
                told = self.run(self.broker.read(TYPE, job.request_id)).trouble
                assert (told == "hold_lost") == job.is_lost


def _server(name: str) -> str:
    return f"server-of-{name}"
