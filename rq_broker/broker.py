"""The broker: one async method a verb, one script a method, any number of processes at once."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from redis.asyncio import Redis, RedisCluster

from rq_broker import errors, records
from rq_broker.keys import TYPES, Keys, digest, fold
from rq_broker.lua.runner import Runner
from rq_broker.models import (
    Delivery,
    Grant,
    Host,
    Job,
    Policy,
    Status,
    Submission,
    Waiting,
    origins,
)

_HINT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Cursor:
    """The place in a listing after which to go on."""

    priority: str
    id: str


@dataclass(frozen=True, slots=True)
class Page:
    """Some jobs in priority order, perhaps none; only `next` being None says it is the end."""

    jobs: tuple[Job, ...]
    next: Cursor | None


@dataclass(frozen=True, slots=True)
class Hosts:
    """The hosts of a type, the policy of the same instant, and what to ask for changes with."""

    hosts: Mapping[str, Host]
    policy: Policy
    epoch: str
    number: str


class Broker:
    """All verbs on all types. Every method raises the classes of errors.py and no others."""

    def __init__(self, client: Redis | RedisCluster) -> None:
        self._runner = Runner(client)
        self._hinted: dict[str, float] = {}

    async def _run(self, verb: str, type_: str, *args: Any) -> Any:
        return await self._runner.run(verb, Keys(type_).base, *args)

    async def _hint(self, type_: str) -> None:
        """Keep the set of types true, at most once in half a minute a process and type."""
        now = time.monotonic()
        if self._hinted.get(type_, 0.0) < now:
            await self._runner.command("SADD", TYPES, type_)
            self._hinted[type_] = now + _HINT_SECONDS

    async def aclose(self) -> None:
        """Close the connections."""
        await self._runner.aclose()

    async def ping(self) -> None:
        """Raise Unavailable unless Redis answers."""
        await self._runner.command("PING")

    # Jobs

    async def submit(self, type_: str, new: Submission) -> Job:
        """Put a job in line."""
        await self._hint(type_)
        shape = new.shape.canonical()
        name = digest(shape)
        id_, created, priority = await self._run(
            "submit",
            type_,
            new.request_id,
            new.owner_id,
            digest(new.callback),
            "" if new.priority is None else new.priority,
            name,
            shape,
            *fold("callback", new.callback),
            *fold("data", new.data),
        )
        return Job(
            id=int(id_),
            type=type_,
            request_id=new.request_id,
            owner_id=new.owner_id,
            data=new.data,
            callback=new.callback,
            priority=int(priority),
            status=Status.QUEUED,
            created=int(created),
            updated=int(created),
            shape=name,
        )

    async def read(self, type_: str, request_id: str) -> Job:
        """Read one job."""
        priority, position, *fields = await self._run("read", type_, request_id)
        return records.job(type_, request_id, priority, position, fields)

    async def page(
        self,
        type_: str,
        *,
        owner_id: str = "",
        status: str = "",
        after: Cursor | None = None,
        limit: int = 500,
    ) -> Page:
        """List jobs in priority order, looking at no more than `limit` (≤ 500) of them."""
        start = (after.priority, after.id) if after else ("", "")
        priority, id_, *found = await self._run("page", type_, owner_id, status, *start, limit)
        jobs = tuple(
            records.job(type_, request_id, score, position, fields)
            for score, request_id, position, *fields in found
        )
        return Page(jobs, Cursor(priority, id_) if id_ else None)

    async def reorder(self, type_: str, request_id: str, mode: str, value: str) -> int:
        """Give a job another place; `mode` is priority, before, after or position."""
        return int(await self._run("reorder", type_, request_id, mode, value))

    async def transition(
        self, type_: str, request_id: str, to: Status, *, fence: int | None = None, error: str = ""
    ) -> Status:
        """Move a job as its client asks; returns the status it had."""
        fenced = "" if fence is None else fence
        return Status(
            await self._run("transition", type_, request_id, to, fenced, error, *origins(to))
        )

    async def withdraw(self, type_: str, request_id: str) -> None:
        """Take a job out altogether."""
        job = await self.read(type_, request_id)
        await self._run("withdraw", type_, request_id, job.id, digest(job.callback))

    # Types, policy, hosts

    async def types(self) -> dict[str, dict[Status, int]]:
        """Count the jobs of every type, per status."""
        names = await self._runner.command("SMEMBERS", TYPES)
        return {name: await self.counts(name) for name in sorted(names)}

    async def counts(self, type_: str) -> dict[Status, int]:
        """Count the jobs of one type, per status."""
        keys = Keys(type_)
        return {
            status: await self._runner.command("ZCARD", keys.of("status", status))
            for status in Status
        }

    async def policy(self, type_: str) -> Policy:
        """Read the type's policy."""
        return records.policy(
            records.pairs(await self._runner.command("HGETALL", Keys(type_).base))
        )

    async def set_policy(self, type_: str, changes: Mapping[str, object]) -> Policy:
        """Change the named fields of the type's policy."""
        await self._hint(type_)
        pairs = [
            text
            for name, value in changes.items()
            for text in (name, records.policy_text(name, value))
        ]
        await self._run("set_policy", type_, *pairs)
        return await self.policy(type_)

    async def set_host(self, type_: str, host: Host) -> bool:
        """Publish a host; returns whether it is new."""
        await self._hint(type_)
        pairs = [
            text
            for field, amounts in (("capacity", host.capacity), ("used", host.used))
            for resource, amount in amounts.items()
            for text in (f"{field}:{resource}", str(amount))
        ]
        aggregates = orjson.dumps(sorted(host.aggregates)).decode()
        return bool(await self._run("set_host", type_, host.name, aggregates, *pairs))

    async def drop_host(self, type_: str, name: str) -> None:
        """Take a host out of service; it stays listed, without capacity, while it holds."""
        await self._run("drop_host", type_, name)

    async def hosts(self, type_: str, known: Hosts | None = None) -> Hosts:
        """Read the hosts; given what was read before, only what changed since travels."""
        seen = (known.epoch, known.number) if known else ("", "0")
        epoch, number, everything, base, *changed = await self._run("hosts", type_, *seen)
        hosts = {} if everything or not known else dict(known.hosts)
        for name, *fields in changed:
            hosts[name] = records.host(name, records.pairs(fields))
        return Hosts(hosts, records.policy(records.pairs(base)), epoch, number)

    async def host(self, type_: str, name: str) -> Host:
        """Read one host."""
        fields = records.pairs(await self._runner.command("HGETALL", Keys(type_).of("host", name)))
        if not fields:
            raise errors.HostNotFound(f"no host {name} in type {type_}")
        return records.host(name, fields)

    # For the notifier's loops

    async def heads(
        self, type_: str, first: int = 0, shapes: int = 1000, jobs: int = 100
    ) -> tuple[int, list[Waiting]]:
        """Read the first jobs of a window of shapes; also how many shapes wait in all."""
        total, *found = await self._run("heads", type_, first, shapes, jobs)
        return total, [records.waiting(entry) for entry in found]

    async def grant(self, type_: str, grant: Grant) -> int | None:
        """Commit one grant; returns its fence, or None when reality had moved on."""
        shape, head = grant.shape, grant.head
        amounts: dict[tuple[str, str], int] = {}
        for host, instance in zip(grant.hosts, shape.demand.instances, strict=True):
            for resource, amount in instance:
                amounts[host, resource] = amounts.get((host, resource), 0) + amount
        wanted = shape.demand.aggregate
        reply = await self._run(
            "grant",
            type_,
            head.request_id,
            head.id,
            head.priority,
            orjson.dumps(grant.hosts).decode(),
            "" if wanted is None else orjson.dumps(wanted).decode(),
            *(text for (host, resource), n in amounts.items() for text in (host, resource, n)),
        )
        return int(reply) if reply.isdigit() else None

    async def claim(
        self, type_: str, lease: float, limit: int
    ) -> tuple[float | None, list[Delivery]]:
        """Take callbacks that are due, for `lease` seconds; also seconds until the next is due."""
        wait, *found = await self._run("claim", type_, round(lease * 1000), limit)
        deliveries = [
            Delivery(records.job(type_, request_id, priority, "", fields), int(attempt))
            for attempt, priority, request_id, *fields in found
        ]
        return _seconds(wait), deliveries

    async def settle(
        self, delivery: Delivery, outcome: str, *, delay: float = 0.0, cause: str = ""
    ) -> str:
        """Say how a delivery went: delivered, retry (after `delay` seconds), failed, release."""
        job, wait = delivery.job, round(delay * 1000)
        settled: str = await self._run(
            "settle", job.type, job.request_id, job.fence, delivery.attempt, outcome, wait, cause
        )
        return settled

    async def sweep(self, type_: str, limit: int = 100) -> tuple[float | None, int]:
        """Let expire what is over; returns seconds until the next deadline, and how many went."""
        wait, moved, *over = await self._run("sweep", type_, limit)
        for request_id in over[::2]:
            await self.withdraw(type_, request_id)
        return _seconds(wait), int(moved) + len(over) // 2

    async def wait(self, type_: str, seconds: float) -> str | None:
        """Block until a marker says that a loop has work, on a connection of its own."""
        return await self._runner.wait(Keys(type_).of("wake"), seconds)


def _seconds(milliseconds: str) -> float | None:
    return int(milliseconds) / 1000 if milliseconds else None
