"""Every verb in random order against a model in plain Python, audited again and again."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from rq_broker.domain import errors
from rq_broker.domain.capacity import Host
from rq_broker.domain.jobs import Demand, Shape, Status, Submission
from rq_broker.domain.offers import OFFER
from rq_broker.domain.planning import Grant, Head
from rq_broker.domain.terms import Terms
from rq_broker.store.audit import Severity, audit
from rq_broker.store.deliveries import Settlement
from rq_broker.store.embedded import Server
from rq_broker.store.keys import TYPES, Keys, digest
from tests import making
from tests.machine_snapshots import SnapshotRules
from tests.model_job import ANY, NO_TERMS, SOURCE_HOST, MJob, chosen, timeless
from tests.redis_reads import key_names
from tests.strategies import (
    AMOUNTS,
    ANSWERS,
    DEMANDS,
    HOSTS,
    HOUR,
    KEPT_KEYS,
    LABELS,
    NAMES,
    OWNERS,
    PICKS,
    PLANS,
    POLICIES,
    PRIORITIES,
    SMALL,
    TERMS,
    TYPE,
    Plan,
    machine_settings,
)

STEPS_AN_AUDIT = 3
"""An audit takes longer than all else of a step together; what it finds stays to be found."""


class Machine(SnapshotRules):
    """Calls the broker and the model alike and compares them, on fakeredis."""

    steps = 0

    @initialize(
        demands=st.lists(DEMANDS, min_size=2, max_size=2),
        names=st.sampled_from(["per_type", "per_owner"]),
    )
    def begin(self, demands: list[Demand], names: str) -> None:
        """Start with two hosts and two jobs, so that the first grants are possible."""
        self.set_policy({"names": names})
        self.per_owner = names == "per_owner"
        self.set_big_host("h")
        self.set_big_host("h:1")
        for name, demand in zip(("a:b", "ü"), demands, strict=True):
            url = f"http://x/{name}" if name == "ü" else ""
            self.submit(name, owner="o", callback=url, priority=None, demand=demand)

    # Clients

    @rule(
        name=NAMES,
        owner=OWNERS,
        callback=st.sampled_from([*[""] * 6, *[f"http://x/{number}" for number in range(9)]]),
        priority=PRIORITIES,
        demand=DEMANDS,
        terms=TERMS,
    )
    def submit(
        self,
        name: str,
        *,
        owner: str,
        callback: str,
        priority: int | None,
        demand: Demand,
        terms: Terms | None = None,
    ) -> None:
        owner, request_id = self.named(name, owner)
        name = self.stored(name)
        data = f'{{"n":"{"ü" * 10 * len(name)}"}}'
        shape = Shape(demand, owner, "http://x:80" if callback else OFFER)
        is_own = priority is not None
        job = MJob(self.model.ids + 1, name, owner, callback, data, priority or 0, shape, is_own)
        given, job.terms = self.terms(terms or NO_TERMS, owner, name)
        own = None if given == NO_TERMS else given
        new = Submission(request_id, owner, data, callback, shape, priority, terms=own)
        answer, _ = self.both(self.broker.submit(TYPE, new), lambda: self.model.submit(job))
        if answer is not None:
            assert answer.id == job.id
            if priority is None:
                assert answer.priority > self.model.clock
                self.model.clock = job.priority = answer.priority
            read = self.run(self.broker.read(TYPE, name))
            assert (answer.position, answer.created) == (read.position, read.created)

    @rule(
        name=NAMES,
        to=st.sampled_from(list(Status)),
        fence=st.sampled_from([None, None, "newest", "earlier"]),
        error=st.sampled_from(["", "text"]),
    )
    def transition(self, name: str, to: Status, fence: str | None, error: str) -> None:
        request_id, owners = self.asked(name)
        name = self.stored(name)
        job = self.model.jobs.get(name)
        newest = (job.fence if job else None) or 0
        number = None if fence is None else newest - (fence == "earlier")
        answer, before = self.both(
            self.broker.transition(TYPE, request_id, to, owners, fence=number, error=error),
            lambda: self.model.transition(name, to, number, error),
        )
        assert answer == before

    @rule(name=NAMES, most=st.sampled_from([1, 2, 99]))
    def requeue_by_client(self, name: str, most: int) -> None:
        """Move a job back as a client that the policy's limits bind."""
        self.set_policy({"most_waiting": most})
        request_id, owners = self.asked(name)
        name = self.stored(name)
        self.both(
            self.broker.transition(TYPE, request_id, Status.QUEUED, owners, is_limited=True),
            lambda: self.model.transition(name, Status.QUEUED, is_limited=True),
        )
        self.set_policy({"most_waiting": None})

    @rule(name=NAMES, seconds=st.sampled_from([None, 1.0, 7200.0]))
    def set_expected(self, name: str, seconds: float | None) -> None:
        request_id, owners = self.asked(name)
        call = self.broker.set_expected(TYPE, request_id, seconds, owners)
        self.both(call, lambda: self.model.set_expected(self.stored(name), seconds))

    @rule(name=NAMES)
    def withdraw(self, name: str) -> None:
        request_id, owners = self.asked(name)
        call = self.broker.withdraw(TYPE, request_id, owners=owners)
        self.both(call, lambda: self.model.withdraw(self.stored(name)))

    # Operators

    @rule(name=HOSTS, capacity=AMOUNTS, used=AMOUNTS, labels=LABELS)
    def set_host(
        self, name: str, capacity: dict[str, int], used: dict[str, int], labels: dict[str, Any]
    ) -> None:
        host = Host(name, capacity, used, **labels)
        answer, new = self.both(self.broker.set_host(TYPE, host), lambda: self.model.set_host(host))
        assert answer == new

    @rule(name=HOSTS)
    def set_big_host(self, name: str) -> None:
        self.set_host(name, {"R": 4, "R:x": 4}, {}, {"aggregates": frozenset({"x", "x:y"})})

    @rule(name=HOSTS)
    def drop_host(self, name: str) -> None:
        self.both(self.broker.drop_host(TYPE, name), lambda: self.model.drop_host(name))

    @rule(changes=POLICIES)
    def set_policy(self, changes: dict[str, Any]) -> None:
        self.model.set_policy(**changes)
        assert self.run(self.broker.set_policy(TYPE, changes)) == self.model.policy

    # The notifier

    @rule()
    def read_view(self) -> None:
        self.type_state = self.run(self.broker.type_state(TYPE, self.type_state, usage=True))
        self.number = self.model.policy_number
        assert self.type_state == self.run(self.broker.type_state(TYPE, usage=True))
        assert self.type_state.usage == self.model.usage()

    @rule(pick=PICKS, plan=PLANS)
    def grant(self, pick: int, plan: Plan) -> None:
        jobs = self.model.queue() or self.model.ordered()
        if not jobs:
            return
        if plan.is_fresh:
            self.read_view()
        job = jobs[pick % len(jobs)]
        head = Head(job.id + plan.wrong[0], job.request_id, job.priority - plan.wrong[1])
        number, count = chosen(job.shape.demand, plan.alternative, plan.more)
        planned = Grant(head, job.shape, plan.hosts[:count], alternative=number)
        answer = self.run(self.broker.grant(TYPE, planned, self.type_state))
        if answer is None and self.run(self.broker.runner.command("HGET", Keys(TYPE).base, "late")):
            return  # nobody calls back here, so grants have to wait
        granted = self.model.grant(planned, self.type_state, self.number)
        assert (answer is not None) == granted
        if answer is not None:
            self.model.set_fence(job.request_id, answer)

    @rule(name=NAMES, owner=OWNERS, answers=ANSWERS)
    def offer(self, name: str, owner: str, answers: list[str]) -> None:
        """Offer a job without callback again and again; its client answers each offer so."""
        self.set_big_host("h")
        self.set_policy({"paused": False, "limits": {}, "offer": 0})
        self.submit(name, owner=owner, callback="", priority=None, demand=SMALL)
        for answer in answers:
            queue = [job.request_id for job in self.model.queue()]
            if self.stored(name) not in queue:
                return
            plan = Plan(("h",) * 3, 0, 0, (0, 0), is_fresh=True)
            self.grant(queue.index(self.stored(name)), plan)
            if answer == "missed":
                self.sweep()
            else:
                self.transition(name, Status(answer), "newest", "")

    @rule(back=st.integers(0, 1))
    def note(self, back: int) -> None:
        jobs = self.model.ordered()
        noted = [Head(job.id - back, job.request_id, job.priority) for job in jobs]
        self.run(self.broker.note(TYPE, (), noted))
        for job in jobs:
            job.passed = job.passed or (not back and job.status == Status.QUEUED and not job.beside)

    @rule(lease=st.sampled_from([0, HOUR]))
    def claim(self, lease: float) -> None:
        (wait, deliveries), claimed = self.both(
            self.broker.claim(TYPE, lease, 100), lambda: self.model.claim(lease)
        )
        attempts = {delivery.job.request_id: delivery.attempt for delivery in deliveries}
        assert attempts == claimed
        scheduled = [job.delivery for job in self.model.jobs.values() if job.delivery is not None]
        assert (wait is None) == (not scheduled)
        assert (wait == 0) == (True in scheduled)
        self.claimed += deliveries

    @rule(
        pick=PICKS,
        outcome=st.sampled_from(["delivered", "retry", "failed", "release"]),
        delay=st.sampled_from([0, 60]),
    )
    def settle(self, pick: int, outcome: str, delay: float) -> None:
        if not self.claimed:
            return
        delivery = self.claimed[-1 - pick % len(self.claimed)]
        assert delivery.job.fence is not None
        key, name = (delivery.job.fence, delivery.attempt), delivery.job.request_id
        status, expected_status = self.both(
            making.settle(self.broker, delivery, Settlement(outcome, "cause", delay=delay)),
            lambda: self.model.settle(name, key, outcome, delay),
        )
        assert status == expected_status

    @rule()
    def sweep(self) -> None:
        (wait, moved), expected = self.both(self.broker.sweep(TYPE), self.model.sweep)
        assert moved == expected
        if all(job.has_no_time for job in self.model.jobs.values()):
            assert wait in (None, 0)

    # Invariants, checked after each step

    @invariant()
    def jobs_match_the_model(self) -> None:
        """Compare every field of every job, read in pages of two."""
        jobs = self.run(making.all_jobs(self.broker, TYPE, limit=2))
        positions = {job.id: position for position, job in enumerate(self.model.queue(), 1)}
        common = ["id", "request_id", "callback", "data", "priority", "status", "fence", "hosts"]
        common += ["expected", "alternative"]
        assert [
            [
                job.owner,
                job.claims - job.released,
                positions.get(job.id),
                digest(job.shape.canonical()),
            ]
            + [getattr(job, name) for name in common]
            for job in self.model.ordered()
        ] == [
            [job.owner_id, job.attempts, job.position, job.shape]
            + [getattr(job, name) for name in common]
            for job in jobs
        ]
        for job in jobs:
            assert self.model.jobs[job.request_id].error in (ANY, job.error)

    @invariant()
    def filters_match_the_model(self) -> None:
        """Compare the queued jobs of one owner, and the number of jobs in each status."""
        counts = self.run(self.broker.counts(TYPE))
        assert counts == {status: len(self.model.ordered(status)) for status in Status}
        page = self.run(self.broker.page(TYPE, owners=["o"], status="queued"))
        queued = self.model.ordered(Status.QUEUED)
        expected = [job.request_id for job in queued if job.owner == "o"]
        assert [job.request_id for job in page.jobs] == expected

    @invariant()
    def hosts_match_the_model(self) -> None:
        """Compare every host, the amounts held on it included."""
        expected = [self.model.with_held(host) for _, host in sorted(self.model.hosts.items())]
        assert self.run(self.broker.hosts(TYPE)) == expected

    @invariant()
    def heads_match_the_model(self) -> None:
        """Compare the waiting shapes in order, their jobs, and which first jobs were passed."""
        heads = self.run(self.broker.heads(TYPE, 0, 100, 100, own=True))
        shapes = self.model.waiting()
        assert heads.total == len(shapes)
        for waiting in heads.waiting:
            jobs = shapes.pop(waiting.shape)
            assert [timeless(head) for head in waiting.heads] == [job.head for job in jobs]
            assert waiting.count == len(jobs)
            for job in (jobs[0], *[job for job in jobs if job.own_priority][:1]):
                assert (job.request_id in heads.passed) == job.passed
        assert shapes == {}
        priorities = [waiting.heads[0].priority for waiting in heads.waiting]
        assert priorities == sorted(priorities)

    @invariant()
    def the_audit_is_clean(self) -> None:
        """The audit reports no fault, and a note for each host that holds more than it has."""
        self.steps += 1
        if self.steps % STEPS_AN_AUDIT:
            return
        findings = self.run(audit(self.client, TYPE))
        faults = [str(finding) for finding in findings if finding.severity == Severity.FAULT]
        assert faults == []
        overfull = {f"host {name}" for name in self.model.overfull()}
        assert {finding.subject for finding in findings} == overfull

    def teardown(self) -> None:
        """Remove all jobs and hosts; only the keys that every type keeps may be left."""
        try:
            for name in list(self.model.jobs):
                self.withdraw(name)
            self.apply(0, Counter(), {})
            self.model.hosts.pop(SOURCE_HOST)
            for name in list(self.model.hosts):
                self.drop_host(name)
            self.sweep()  # forgets how jobs ended for which others waited
            assert self.run(audit(self.client, TYPE)) == []
            names = self.run(key_names(self.client))
            remaining = {name.removeprefix(Keys(TYPE).base) for name in names}
            # The first two expire, the others are deleted with the destination, in a day.
            in_a_day = (":flying:", ":flying_of:", ":owners:", ":destination:offer", ":open")
            later = {key for key in remaining if key.startswith(in_a_day)}
            assert remaining - {"", TYPES, *KEPT_KEYS} - later == set()
        finally:
            with suppress(errors.BrokerError):
                self.run(self.broker.aclose())
            self.loop.close()


def test_any_sequence_of_verbs_on_fakeredis() -> None:
    """After any sequence of verbs, broker and model agree and the audit is clean."""
    run_state_machine_as_test(Machine, settings=machine_settings(8, 30))


def test_any_sequence_of_verbs_on_a_real_server(redis_server: Server) -> None:
    """On a real server too, with fewer examples, broker and model agree and the audit is clean."""

    class RealMachine(Machine):
        url = redis_server.url

    run_state_machine_as_test(RealMachine, settings=machine_settings(3, 20))
