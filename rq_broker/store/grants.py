"""What the granter does: look, note, grant."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import orjson

from rq_broker.domain.capacity import Host
from rq_broker.domain.jobs import Job, Status
from rq_broker.domain.planning import Grant, Head, Protection, Waiting
from rq_broker.domain.policy import Policy
from rq_broker.store import records
from rq_broker.store.keys import Keys, job_of, member
from rq_broker.store.runner import Runner


@dataclass(frozen=True, slots=True)
class View:
    """A type at one instant, but for its queue; hand it back to `view` to read only changes."""

    hosts: Mapping[str, Host]
    policy: Policy
    policy_number: str
    usage: Mapping[str, Mapping[str, int]]
    """Owner → resource → what its jobs hold; filled while the policy shares or limits."""
    protection: Protection | None
    closed: frozenset[str]
    """Destinations no grant may be made for now."""
    epoch: str
    number: str


@dataclass(frozen=True, slots=True)
class Heads:
    """A window of the waiting shapes, in the order of their first jobs."""

    total: int
    """How many shapes wait in all."""
    waiting: tuple[Waiting, ...]
    passed: Mapping[str, float]
    """request_id → when the job was first passed, seconds since 1970; of first jobs only."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A job that holds capacity: host → resource → amount, for so many seconds already."""

    request_id: str
    owner_id: str
    age: float
    holds: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class Holdings:
    """Who holds capacity, and how many seconds others held theirs, the newest first."""

    holders: tuple[Holder, ...]
    history: tuple[float, ...]


class Grants:
    """Turn, view, heads, note, grant; holders, forecast."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    async def view(self, type_: str, known: View | None = None, *, usage: bool = False) -> View:
        """Read hosts and policy; given an earlier view, only the hosts that changed travel."""
        seen = (known.epoch, known.number) if known else ("", "0")
        reply = await self._runner.run("hosts", type_, *seen, "1" if usage else "")
        epoch, number, everything, flat, held, closed, *changed = reply
        if known and int(number) < int(known.number):  # a restored, older state
            return await self.view(type_, usage=usage)
        hosts = {} if everything or not known else dict(known.hosts)
        for name, *fields in changed:
            hosts[name] = records.host(name, records.pairs(fields))
        base = records.pairs(flat)
        return View(
            hosts=hosts,
            policy=records.policy(base),
            policy_number=base.get("policy_number", "0"),
            usage=records.usage(records.pairs(held)),
            protection=records.protection(base.get("protection", "")),
            closed=frozenset(closed),
            epoch=epoch,
            number=number,
        )

    async def turn(
        self, type_: str, who: str, what: str, seconds: float, about: str = "plan"
    ) -> int:
        """Take or give back the turn at something; its term, or 0 when `who` holds it not."""
        return int(await self._runner.run("turn", type_, who, what, round(seconds * 1000), about))

    async def heads(
        self, type_: str, first: int, shapes: int, jobs: int, earliest: int = 0
    ) -> Heads:
        """Read the first `jobs` of each of `shapes` shapes, from the one at rank `first`.

        Where not all fit, the shapes of the `earliest` jobs in line come besides.
        """
        reply = await self._runner.run(
            "heads", type_, rank=first, limit=shapes, jobs=jobs, earliest=earliest
        )
        read = records.readable(records.waiting, reply.shapes)
        passed = {each.heads[0].request_id: since for each, since in read if since is not None}
        return Heads(reply.total, tuple(each for each, _ in read), passed)

    async def shape_of(self, type_: str, request_id: str) -> str | None:
        """Read the shape of a job, or None where there is no such job."""
        key = Keys(type_).of("job", request_id)
        shape: str | None = await self._runner.command("HGET", key, "shape")
        return shape

    async def shape_rank(self, type_: str, shape: str) -> int | None:
        """Find the rank at which `heads` has a shape, or None where no job of it waits."""
        rank: int | None = await self._runner.command("ZRANK", Keys(type_).of("heads"), shape)
        return rank

    async def index_in_shape(self, type_: str, job: Job) -> int:
        """Count the jobs of the same shape that go before a waiting one."""
        keys = Keys(type_)
        name = member(job.id, job.request_id)
        rank = await self._runner.command("ZRANK", keys.of("shape", job.shape), name)
        return rank or 0

    async def key_at(self, type_: str, position: int) -> tuple[int, int] | None:
        """Read priority and ID of whoever waits at a position (1 = next, 0 = last), or None."""
        queue, at = Keys(type_).of("status", Status.QUEUED), position - 1
        found = await self._runner.command("ZRANGE", queue, at, at)
        score = await self._runner.command("ZSCORE", queue, found[0]) if found else None
        return None if score is None else (int(float(score)), job_of(found[0])[0])

    async def holdings(self, type_: str, limit: int = 5000) -> Holdings:
        """Read who holds capacity since when, and how long others held theirs."""
        now, history, *found = await self._runner.run("holders", type_, limit)
        holders = records.readable(lambda entry: records.holder(int(now), entry), found)
        return Holdings(
            tuple(Holder(*fields) for fields in holders),
            tuple(int(span) / 1000 for span in history),
        )

    async def forecast(self, type_: str, job: Job, seconds: float | None) -> tuple[int, int]:
        """Keep the p90 ETA a job was told; returns how many such held so far, and how many not."""
        name = member(job.id, job.request_id)
        span = "" if seconds is None else round(seconds * 1000)
        kept, missed = await self._runner.run("forecast", type_, name, span)
        return int(kept), int(missed)

    async def note(
        self, type_: str, protection: Protection | None, passed: Collection[Head]
    ) -> None:
        """Keep what a pass decided: which job is protected, and which jobs are newly passed."""
        text = records.protection_text(protection)
        members = [member(head.id, head.request_id) for head in passed]
        await self._runner.run("note", type_, protection=text, passed=members)

    async def grant(self, type_: str, grant: Grant, view: View) -> int | None:
        """Commit one grant planned on `view`; its fence, or None when reality had moved on."""
        shape, head, policy = grant.shape, grant.head, view.policy
        caps = policy.limits.get(shape.owner, policy.limits.get("*", {}))
        amounts: dict[tuple[str, str], tuple[int, int]] = {}
        for host, instance in zip(grant.hosts, shape.demand.instances, strict=True):
            for resource, amount in instance or [("", 0)]:
                total, most = amounts.get((host, resource), (0, 0))
                amounts[host, resource] = total + amount, max(most, amount)
        wanted = shape.demand.aggregate
        reply = await self._runner.run(
            "grant",
            type_,
            head.request_id,
            head.id,
            head.priority,
            orjson.dumps(grant.hosts).decode(),
            "" if wanted is None else orjson.dumps(wanted).decode(),
            shape.destination,
            view.policy_number,
            len(caps),
            *(text for pair in caps.items() for text in pair),
            *(text for place, both in amounts.items() for text in (*place, *both)),
        )
        return int(reply) if reply.isdigit() else None
