"""A model of the broker in plain Python: the answer of each verb and the state it leaves."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from msgspec import structs

from rq_broker.domain import errors
from rq_broker.domain.capacity import Host
from rq_broker.domain.jobs import HOLDING, MOVES, Status, expected_class
from rq_broker.domain.planning import Grant
from rq_broker.store.broker import TypeState
from tests.model_job import ANY, ENDS, FAR, MISSES, MJob, Place, due, granted_by, may_be_on
from tests.model_snapshots import Snapshots


class Model(Snapshots):
    """What each other verb does to the jobs and hosts of one type."""

    def reorder(self, request_id: str, priority: int) -> None:
        """Give a job this priority as its own; its deadline is counted as the policy is now."""
        job = self.find(request_id)
        job.priority, job.own_priority = priority, True
        if job.status in ENDS:
            self.recount(job)

    def slot(self, request_id: str, mode: str, value: str) -> list[str]:
        """Return the request_ids of the queue in order after a relative reorder."""
        job, order = self.find(request_id), [queued.request_id for queued in self.queue()]
        if job.status != Status.QUEUED or job.beside:
            raise errors.NotWaiting(request_id)
        if mode in ("before", "after") and value != request_id:
            other = self.find(value)
            if other.status != Status.QUEUED or other.beside:
                raise errors.NotWaiting(value)
        elif mode in ("before", "after"):
            return order
        order.remove(request_id)
        if mode == "position":
            order.insert(0 if value == "front" else len(order), request_id)
        elif mode == "place":
            order.insert(int(value) - 1, request_id)
        else:
            order.insert(order.index(value) + (mode == "after"), request_id)
        return order

    def passed(self, request_id: str, order: list[str]) -> set[int]:
        """Return the IDs of the jobs that a move passes which leaves the queue in this order."""
        now = [job.request_id for job in self.queue()]
        ahead, ahead_then = (set(line[: line.index(request_id)]) for line in (now, order))
        return {self.jobs[name].id for name in ahead ^ ahead_then}

    def become(self, job: MJob, to: Status, error: str | None = None) -> None:
        """Set the status of a job, with all that follows from it."""
        if job.status in HOLDING and to not in HOLDING:
            self.release(job)
            job.hosts, job.alternative = (), None
        job.delivery = None
        if job.status is Status.GRANTED and to is not Status.ERROR:
            job.was_offer = False
        job.status, job.passed = to, False
        job.beside, job.left = False, set()
        if to in (Status.DONE, Status.ERROR):
            self.note_end(job, int(to is Status.ERROR))
        if error is not None:
            job.error = error
        if to == Status.QUEUED:
            job.claims, job.released, job.error = 0, 0, None
        if to is not Status.GRANTED:
            job.missed = 0
        job.deadline = due(self.span(job))
        self.forget_empty_hosts()

    def span(self, job: MJob) -> float | None:
        """Return how long a job may have its status."""
        span: float | None = getattr(self.policy, ENDS[job.status]) if job.status in ENDS else None
        own = job.terms.hold_at_most if job.status is Status.RUNNING else None
        return own if span is None else span if own is None else min(own, span)

    def note_end(self, job: MJob, outcome: int) -> None:
        """Note how a job for which others wait ended first."""
        if any(job.id in other.left for other in self.jobs.values()):
            self.ended.setdefault(job.id, outcome)

    def resolve(self) -> int:
        """Tell those that wait for jobs that ended; return how many were told."""
        told = 0
        while self.ended:
            id_ = min(self.ended, key=lambda id_: (self.ended[id_], id_))
            outcome = self.ended.pop(id_)
            for job in sorted(self.jobs.values(), key=lambda job: job.id):
                if id_ not in job.left:
                    continue
                told += 1
                job.left.discard(id_)
                if outcome and not job.terms.after_any:
                    self.become(job, Status.ERROR, ANY)
                elif not job.left and job.terms.not_before != FAR:
                    self.become(job, Status.QUEUED)
        return told

    def transition(
        self,
        request_id: str,
        to: Status,
        fence: int | None = None,
        error: str = "",
        *,
        has_servers: bool = False,
        is_limited: bool = False,
    ) -> Status:
        """Set the status of a job for its client; return the status before."""
        job = self.find(request_id)
        if fence is not None and fence != (job.fence or 0):
            raise errors.StaleFence(request_id)
        if job.status == to:
            if to == Status.RUNNING:
                job.deadline = due(self.span(job))
                job.has_servers |= has_servers
            return to
        if to not in MOVES[job.status]:
            raise errors.ImpossibleMove(request_id)
        if job.status is Status.QUEUED and to is Status.RUNNING and not job.callback:
            refusal = errors.ImpossibleMove if fence is None else errors.StaleFence
            raise refusal(request_id)
        if is_limited and to is Status.QUEUED and job.status is not Status.GRANTED:
            waiting = [each for each in self.jobs.values() if each.status is Status.QUEUED]
            if len(waiting) >= (self.policy.most_waiting or math.inf):
                raise errors.QueueFull(request_id)
        if job.was_offer and job.status in (Status.GRANTED, Status.ERROR):
            self.misses.pop(job.owner, None)
            self.probes.pop(job.owner, None)
        before, stale = job.status, job.error is not None and to != Status.QUEUED
        self.become(job, to, error or (ANY if stale else None))
        job.beside = to is Status.QUEUED and job.terms.not_before == FAR
        job.has_servers = has_servers
        return before

    def set_expected(self, request_id: str, seconds: float | None) -> None:
        """Change how long a job says it will hold."""
        job = self.find(request_id)
        if job.status in (Status.DONE, Status.ERROR):
            raise errors.Conflict(request_id)
        job.expected = seconds
        job.shape = structs.replace(job.shape, expected=expected_class(seconds))

    def withdraw(self, request_id: str) -> None:
        """Remove a job."""
        job = self.find(request_id)
        if job.status not in (Status.DONE, Status.ERROR):
            self.note_end(job, 2)
        self.release(job)
        del self.jobs[request_id]
        self.forget_empty_arrays()
        self.forget_empty_hosts()

    def set_host(self, host: Host) -> bool:
        """Publish a host; return whether its name is new."""
        new = host.name not in self.hosts
        self.hosts[host.name] = host
        return new

    def drop_host(self, name: str) -> None:
        """Drop a host; it is forgotten once it holds nothing."""
        if name not in self.hosts:
            raise errors.HostNotFound(name)
        self.hosts[name] = Host(name, {}, dropped=True)
        self.forget_empty_hosts()

    def grant(self, planned: Grant, state: TypeState, number: int) -> bool:
        """Commit a planned grant if it is still true; `number`: of the policy it was planned on."""
        job = self.jobs.get(planned.head.request_id)
        if self.policy.paused or number != self.policy_number or job is None or job.beside:
            return False
        current = (job.id, job.priority, job.status)
        is_other = current != (planned.head.id, planned.head.priority, Status.QUEUED)
        if is_other or (not job.callback and self._is_probed(job.owner)):
            return False
        demand = granted_by(job.shape.demand, planned.alternative, len(planned.hosts))
        if demand is None or (job.shape.demand.has_choice and planned.shape != job.shape):
            return False
        wanted: Counter[Place] = Counter()
        for name, instance in zip(planned.hosts, demand.instances, strict=True):
            for resource, amount in instance:
                wanted[name, resource] += amount
        limits = state.policy.limits
        if self.is_array_full(job) or self._capped(job, wanted, limits) or not self._fits(wanted):
            return False
        for name, own in zip(planned.hosts, demand.instances, strict=True):
            if not may_be_on(demand, own, self.hosts.get(name), state.hosts.get(name)):
                return False
        job.hosts, job.holds = planned.hosts, wanted
        job.alternative = planned.alternative if job.shape.demand.alternatives else None
        self.become(job, Status.GRANTED)
        job.error = None  # of an offer that was missed before
        job.delivery, job.offer = True if job.callback else None, due(self.policy.offer)
        job.was_offer = not job.callback
        if job.was_offer and self.misses.get(job.owner, 0) >= MISSES:
            self.probes[job.owner] = job.request_id
        return True

    def set_fence(self, request_id: str, fence: int) -> None:
        """Note the fence that the broker gave a grant: above each one before."""
        assert fence > self.last_fence
        self.find(request_id).fence = self.last_fence = fence

    def _capped(
        self,
        job: MJob,
        wanted: Counter[Place],
        limits: Mapping[str, Mapping[str, int]],
    ) -> bool:
        """Return whether the grant would exceed a limit of the job's owner."""
        caps = limits.get(job.owner, limits.get("*", {}))
        after = Counter(self.usage().get(job.owner, {}))
        for (_, resource), amount in wanted.items():
            after[resource] += amount
        return any(after[resource] > cap for resource, cap in caps.items())

    def _fits(self, wanted: Counter[Place]) -> bool:
        """Return whether the job fits now."""
        for (name, resource), amount in wanted.items():
            host = self.hosts.get(name)
            if host is None:
                return False
            taken = host.used.get(resource, 0) + self.held(name).get(resource, 0)
            if host.capacity.get(resource, 0) - taken < amount:
                return False
        return True

    def claim(self, lease: float) -> dict[str, int]:
        """Claim every due delivery; return request_id → attempt."""
        claimed = {}
        for job in self.jobs.values():
            if not job.delivery:
                continue
            job.delivery = due(lease)
            if job.offer:
                job.deadline = True
            else:
                job.claims += 1
                claimed[job.request_id] = job.claims
        return claimed

    def settle(self, request_id: str, key: tuple[int, int], outcome: str, delay: float) -> str:
        """Settle a claim, `key` being its fence and attempt; return the status, or STALE."""
        job = self.jobs.get(request_id)
        if job is None or (job.status, job.fence, job.claims) != (Status.GRANTED, *key):
            return "STALE"
        if job.settled == key:
            return "STALE"
        job.settled = key
        if outcome == "retry" and job.offer:
            outcome = "failed"
            job.error = ANY
            self.become(job, Status.ERROR)
        elif outcome == "delivered":
            job.error = None
            self.become(job, Status.RUNNING)
        elif outcome == "failed":
            self.become(job, Status.ERROR, "cause")
        elif outcome == "release":
            job.released, job.delivery = job.released + 1, True
        else:
            job.error, job.delivery = "cause", due(delay)
        return job.status

    def miss(self, job: MJob) -> None:
        """End an offer that was not taken."""
        missed = job.missed + 1
        self.misses[job.owner] = self.misses.get(job.owner, 0) + 1
        if self.misses[job.owner] >= MISSES:
            self.probes.pop(job.owner, None)
        if missed < MISSES:
            self.become(job, Status.QUEUED)
            job.missed, job.error = missed, "offer_missed"
        else:
            self.become(job, Status.ERROR, ANY)

    def _is_probed(self, owner: str) -> bool:
        """Return whether an owner that missed its last offers has one open: it gets no other."""
        probe = self.jobs.get(self.probes.get(owner, ""))
        return probe is not None and probe.status is Status.GRANTED

    def set_policy(self, **changes: object) -> None:
        """Change the policy; the next sweep counts the deadlines of spans that change anew."""
        before, self.policy = self.policy, replace(self.policy, **changes)  # type: ignore[arg-type]  # by name
        self.policy_number += 1
        self.recounted |= {
            status
            for status, span in ENDS.items()
            if getattr(before, span) != getattr(self.policy, span)
        }

    def recount(self, job: MJob) -> None:
        """Count the deadline of a job anew, from when it has its status."""
        job.deadline = due(self.span(job))
        if job.status == Status.GRANTED:
            job.offer = job.deadline
            in_flight = job.claims > 0 and job.settled != (job.fence, job.claims)
            if in_flight and job.deadline:
                job.deadline = job.delivery  # the end of its lease

    def sweep(self) -> int:
        """Expire every job past its deadline; return their number."""
        for job in self.jobs.values():
            if job.status in self.recounted:
                self.recount(job)
        self.recounted.clear()
        withdrawn = []
        expired = [job for job in self.jobs.values() if job.deadline]
        for job in expired:
            if job.is_offer:
                self.miss(job)
            elif job.status in HOLDING:
                self.become(job, Status.ERROR, ANY)
            else:
                withdrawn.append(job.request_id)
        told = self.resolve()
        for request_id in withdrawn:
            self.withdraw(request_id)
        return len(expired) + told
