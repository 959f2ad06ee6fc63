"""The audit: holds what keys.py promises against what the keys of one type say.

It writes nothing and reads in pages, so it may run beside a busy broker. There a job can move
between two reads, so whatever a look finds is looked for once more: only what is found twice, word
for word, counts. Sums of holds are compared where no hold changed meanwhile. Not found by it: the
keys of jobs and owners that no index names any more, since that would take a scan of all keys.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson
from redis import exceptions
from redis.asyncio import Redis, RedisCluster

from rq_broker.domain.jobs import HOLDING, Status
from rq_broker.store import records
from rq_broker.store.keys import Keys, digest, unfold
from rq_broker.store.runner import translate

_PAGE = 500
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_CALLBACK = ["callback", *(f"callback{piece}" for piece in range(2, 11))]
_FIELDS = [
    *("id", "owner", "status", "shape", "created", "fence", "hosts", "demand", "destination"),
    *_CALLBACK,
]


class Severity(StrEnum):
    """How bad a finding is."""

    FAULT = "fault"
    """The keys contradict each other."""
    NOTE = "note"
    """Allowed, and worth an operator's look."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing the audit found: about whom, and what."""

    severity: Severity
    subject: str
    text: str

    def __str__(self) -> str:
        return f"{self.severity}: {self.subject} {self.text}"


async def audit(client: Redis | RedisCluster, type_: str) -> list[Finding]:
    """Check one type; empty is clean. Raises Unavailable when Redis is away."""
    try:
        first = await _Look(client, Keys(type_)).run()
        again = await _Look(client, Keys(type_)).run() if first else []
    except (exceptions.RedisError, OSError) as error:
        raise translate(error) from error
    confirmed = set(again)
    return [finding for finding in first if finding in confirmed]


class _Look:
    """One walk over a type's keys, and what it has seen so far."""

    def __init__(self, client: Redis | RedisCluster, keys: Keys) -> None:
        self._client: Any = client
        self._keys = keys
        self._found: dict[Finding, None] = {}
        self._sizes: Counter[str] = Counter()
        self._holders: set[str] = set()
        self._held: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._usage: Counter[str] = Counter()
        self._fences: dict[int, str] = {}
        self._parked: set[str] = set()
        self._top: Counter[str] = Counter()

    def _fault(self, subject: str, text: str) -> None:
        self._found[Finding(Severity.FAULT, subject, text)] = None

    def _check(self, holds: bool, subject: str, text: str) -> None:
        if not holds:
            self._fault(subject, text)

    async def run(self) -> list[Finding]:
        before = dict(await self._entries("hosts"))
        for status in Status:
            async for page in self._pages("ZSCAN", f"status:{status}"):
                await self._jobs(status, page)
        await self._owners()
        await self._shapes()
        await self._callbacks()
        await self._hosts(before)
        await self._counters()
        return list(self._found)

    # Reading

    async def _pages(self, command: str, name: str) -> AsyncIterator[list[tuple[str, Any]]]:
        """Yield the entries of one zset or hash, at most 500 at a time; some may come twice."""
        scan = {"ZSCAN": self._client.zscan, "HSCAN": self._client.hscan}[command]
        cursor: Any = 0
        while True:
            cursor, entries = await scan(self._keys.of(name), cursor, count=_PAGE)
            page = list(entries.items()) if isinstance(entries, Mapping) else entries
            for start in range(0, len(page), _PAGE):
                yield page[start : start + _PAGE]
            if not int(cursor):
                return

    async def _entries(self, name: str, command: str = "ZSCAN") -> list[tuple[str, Any]]:
        return [entry async for page in self._pages(command, name) for entry in page]

    async def _ask(
        self, commands: Iterable[tuple[Any, ...]], *, at_once: bool = False
    ) -> list[Any]:
        """Send commands in one piece, return their replies; `at_once`: all of one instant."""
        pipeline = self._client.pipeline(transaction=at_once)
        for command in commands:
            pipeline.execute_command(*command)
        return list(await pipeline.execute())

    async def _scores(self, sets: Iterable[str], members: list[str]) -> list[list[float | None]]:
        """Ask for the score of each member in each set: a row a member."""
        names = [self._keys.of(each) for each in sets]
        flat = await self._ask(("ZSCORE", name, each) for each in members for name in names)
        return [flat[row : row + len(names)] for row in range(0, len(flat), len(names))]

    # Jobs

    async def _jobs(self, status: Status, page: list[tuple[str, float]]) -> None:
        """Check a page of jobs; one that stands in two statuses fails in one of them."""
        asked = [
            command
            for member, _ in page
            for command in (
                ("HMGET", self._keys.of("job", member[17:]), *_FIELDS),
                ("HGETALL", self._keys.of("holds", member[17:])),
                ("HGETALL", self._keys.of("seen", member[17:])),
            )
        ]
        replies = await self._ask(asked)
        jobs = [_fields(_FIELDS, values) for values in replies[::3]]
        await self._names(status, page, jobs)
        ledgers = zip(replies[1::3], replies[2::3], strict=True)
        for (member, _), job, (holds, seen) in zip(page, jobs, ledgers, strict=True):
            subject = f"job {member}"
            try:
                self._job(status, member, job)
                self._ledger(status, member, job, records.pairs(holds), records.pairs(seen))
            except (ValueError, KeyError) as error:
                self._fault(subject, f"cannot be read: {error!r}")

    def _job(self, status: Status, member: str, job: dict[str, str]) -> None:
        """Check what the hash alone can say."""
        subject = f"job {member}"
        if not job:
            self._fault(subject, f"is in {status} and has no hash")
            return
        self._check(job["status"] == status, subject, f"is in {status}, says {job['status']}")
        self._check(
            int(job["id"]) == int(member[:16]), subject, f"has ID {job['id']}, stands as {member}"
        )
        int(job["created"])
        self._top["id"] = max(self._top["id"], int(job["id"]))
        self._top["fence"] = max(self._top["fence"], int(job.get("fence", 0)))
        out_of_line = digest(job["demand"]) == job["shape"] if "demand" in job else None
        right = out_of_line is None if status == Status.QUEUED else out_of_line is True
        self._check(right, subject, f"is {status} and keeps as demand {job.get('demand')}")
        if status == Status.GRANTED:
            self._check(
                "fence" in job and "hosts" in job, subject, "is granted without fence, hosts"
            )

    def _ledger(
        self,
        status: Status,
        member: str,
        job: dict[str, str],
        ledger: dict[str, str],
        seen: dict[str, str],
    ) -> None:
        """Check who holds, and add it up; what is seen counts as its owner's, not as held."""
        subject, hosts = f"job {member}", set(orjson.loads(job.get("hosts", "[]")))
        if status not in HOLDING:
            self._check(not ledger, subject, f"is {status} and holds {ledger}")
            self._check(not seen, subject, f"is {status} and was seen with {seen}")
            self._check(not hosts, subject, f"is {status} and names hosts")
        if member in self._holders or not (ledger or seen):
            return
        self._holders.add(member)
        fence = int(job.get("fence", 0))
        other = self._fences.setdefault(fence, member)
        self._check(other == member, subject, f"holds by fence {fence}, as does {other}")
        for entry, amount in ledger.items():
            host, _, resource = entry.partition("/")
            self._check(host in hosts, subject, f"holds on {host}, which it does not name")
            self._held[host][resource] += int(amount)
        for entry, amount in [*ledger.items(), *seen.items()]:
            resource = entry.partition("/")[2]
            self._usage[f"{resource}/{job['owner']}"] += int(amount)

    async def _names(
        self, status: Status, page: list[tuple[str, float]], jobs: list[dict[str, str]]
    ) -> None:
        """Check the places a job has by its owner, its shape and its callback."""
        known = [(*entry, job) for entry, job in zip(page, jobs, strict=True) if job]
        names = [digest(unfold(job, "callback")) for job in jobs if job]
        asked = [
            command
            for (member, _, job), name in zip(known, names, strict=True)
            for command in (
                ("ZSCORE", self._keys.of("owner", job.get("owner", "")), member),
                ("ZSCORE", self._keys.of("shape", job.get("shape", "")), member),
                ("HGET", self._keys.of("callbacks", name[:2]), name[2:]),
                ("ZSCORE", self._keys.of("deliveries"), member),
                ("ZSCORE", self._keys.of("prompt"), member),
                ("ZSCORE", self._keys.of("parked", job.get("destination", "")), member),
            )
        ]
        replies = await self._ask(asked)
        for number, (member, priority, job) in enumerate(known):
            by_owner, by_shape, namer, slow, prompt, parked = replies[6 * number : 6 * number + 6]
            subject, queued = f"job {member}", status == Status.QUEUED
            self._count(job, names[number], queued)
            self._check(by_owner == priority, subject, f"has priority {by_owner} by its owner")
            expected = priority if queued else None
            self._check(by_shape == expected, subject, f"has priority {by_shape} by its shape")
            self._check(namer == member[17:], subject, f"has a callback that names {namer}")
            self._parked.update([] if parked is None else [job.get("destination", "")])
            places = sum(each is not None for each in (slow, prompt, parked))
            due = prompt if slow is None else slow
            owed = places == (status == Status.GRANTED)
            self._check(
                owed, subject, f"is {status}, its delivery due at {due}, parked at {parked}"
            )

    def _count(self, job: dict[str, str], name: str, queued: bool) -> None:
        self._sizes[f"owner:{job.get('owner', '')}"] += 1
        self._sizes[f"callbacks:{name[:2]}"] += 1
        if queued:
            self._sizes[f"shape:{job.get('shape', '')}"] += 1

    async def _owners(self) -> None:
        listed = [destination for destination, _ in await self._entries("parked")]
        for destination in self._parked.difference(listed):
            self._fault(
                f"destination {destination}", "is not listed, and callbacks are parked at it"
            )
        for destination in listed:
            await self._index(f"parked:{destination}", {Status.GRANTED})
        await self._index("deliveries", {Status.GRANTED})
        await self._index("prompt", {Status.GRANTED})
        await self._index("deadlines", set(Status) - {Status.QUEUED})
        await self._index("passed", {Status.QUEUED}, command="HSCAN")
        await self._index("forecasts", {Status.QUEUED}, command="HSCAN")
        for name in await self._larger("owner:", "ZCARD"):
            await self._index(name, set(Status))

    async def _larger(self, kind: str, command: str) -> list[str]:
        """Find the sets of a kind that hold more, or less, than the jobs seen account for."""
        names = [name for name in self._sizes if name.startswith(kind)]
        found = []
        for start in range(0, len(names), _PAGE):
            page = names[start : start + _PAGE]
            sizes = await self._ask((command, self._keys.of(name)) for name in page)
            found += [
                name for name, size in zip(page, sizes, strict=True) if size != self._sizes[name]
            ]
        return found

    async def _index(self, name: str, allowed: set[Status], command: str = "ZSCAN") -> None:
        """Check that a set names only jobs in the allowed statuses."""
        sets = [f"status:{each}" for each in Status if each in allowed]
        async for page in self._pages(command, name):
            members = [each for each, _ in page]
            for member, scores in zip(members, await self._scores(sets, members), strict=True):
                lives = any(score is not None for score in scores)
                self._check(lives, name, f"names {member}, which is none of {sorted(allowed)}")

    # Shapes and callbacks

    async def _shapes(self) -> None:
        names = {name.removeprefix("shape:") for name in self._sizes if name.startswith("shape:")}
        names.update(name for name, _ in await self._entries("shapes", "HSCAN"))
        names.update(name for name, _ in await self._entries("heads"))
        for name in names:
            self._sizes[f"shape:{name}"] += 0
            pipeline = self._client.pipeline(transaction=True)
            pipeline.hget(self._keys.of("shapes"), name)
            pipeline.zscore(self._keys.of("heads"), name)
            pipeline.zrange(self._keys.of("shape", name), 0, 0, withscores=True)
            canonical, head, first = await pipeline.execute()
            expected = first[0][1] if first else None
            right = digest(canonical) == name if canonical and first else canonical == expected
            self._check(right, f"shape {name}", f"stands in shapes for {canonical}")
            self._check(head == expected, f"shape {name}", f"is in heads at {head}, not {expected}")
        for name in await self._larger("shape:", "ZCARD"):
            await self._index(name, {Status.QUEUED})

    async def _callbacks(self) -> None:
        """Check that each callback's entry leads to a job that has this callback."""
        suspect = set(await self._larger("callbacks:", "HLEN"))
        for first in _LETTERS:
            names = [f"callbacks:{first}{second}" for second in _LETTERS]
            strange = [name for name in names if name not in self._sizes]
            if await self._ask([("EXISTS", *map(self._keys.of, strange))] if strange else []) > [0]:
                suspect.update(strange)
        for name in suspect:
            async for page in self._pages("HSCAN", name):
                await self._bucket(name.removeprefix("callbacks:"), page)

    async def _bucket(self, bucket: str, page: list[tuple[str, str]]) -> None:
        """Check entries and the jobs they name, as they are at one instant."""
        asked = ["id", "status", *_CALLBACK]
        entries = [("HGET", self._keys.of("callbacks", bucket), rest) for rest, _ in page]
        hashes = [("HMGET", self._keys.of("job", namer), *asked) for _, namer in page]
        replies = await self._ask([*entries, *hashes], at_once=True)
        jobs = [_fields(asked, values) for values in replies[len(page) :]]
        members = [f"{job.get('id', ''):>016}:{page[n][1]}" for n, job in enumerate(jobs)]
        places = await self._scores([f"status:{each}" for each in Status], members)
        for (rest, namer), now, job, member, place in zip(
            page, replies, jobs, members, places, strict=False
        ):
            if now != namer:
                continue
            subject = f"callback {bucket}{rest}"
            self._check(bool(job), subject, f"names job {namer}, which there is not")
            if job:
                same = digest(unfold(job, "callback")) == f"{bucket}{rest}"
                self._check(same, subject, f"names job {namer}, which has another")
                listed = any(score is not None for score in place)
                self._check(listed, f"job {member}", "is in no status")

    # Hosts and counters

    async def _hosts(self, before: dict[str, float]) -> None:
        """Check what hosts and owners hold, where no hold changed since the look began."""
        listed = dict(await self._entries("hosts"))
        hashes = {
            name: records.pairs(await self._client.hgetall(self._keys.of("host", name)))
            for name in listed
        }
        for entry, _ in await self._entries("parting"):
            _, amount, place = entry.split(":", 2)
            host, _, resource = place.partition("/")
            self._held[host][resource] += int(amount)
        usage = Counter({field: int(n) for field, n in await self._entries("usage", "HSCAN")})
        after = dict(await self._entries("hosts"))
        for name, fields in hashes.items():
            self._host(name, fields, quiet=before.get(name) == after.get(name))
        if before == after:
            for name in self._held.keys() - after.keys():
                self._fault(f"host {name}", "is not listed, and jobs hold on it")
            for field in usage.keys() | self._usage.keys():
                said, summed = usage[field], self._usage[field]
                self._check(said == summed, f"usage {field}", f"is {said}, ledgers say {summed}")

    def _host(self, name: str, fields: dict[str, str], *, quiet: bool) -> None:
        subject = f"host {name}"
        try:
            host = records.host(name, fields)
        except (ValueError, KeyError) as error:
            self._fault(subject, f"cannot be read: {error!r}")
            return
        if not quiet:
            return
        self._check(bool(fields), subject, "is listed and has no hash")
        gone = host.dropped and not host.held
        self._check(not gone, subject, "is dropped, empty and still there")
        held = dict(self._held[name])
        self._check(host.held == held, subject, f"holds {host.held}, ledgers say {held}")
        over = sorted(resource for resource, free in host.free.items() if free < 0)
        if over:
            text = f"is overcommitted in {over}: it shrank, or its use grew, under its holds"
            self._found[Finding(Severity.NOTE, subject, text)] = None

    async def _counters(self) -> None:
        names = ["id", "fence", "hosts"]
        self._top["hosts"] = max((int(n) for _, n in await self._entries("hosts")), default=0)
        values = await self._client.hmget(self._keys.base, names)
        for name, value in zip(names, values, strict=True):
            behind = int(value or 0) < self._top[name]
            self._check(not behind, f"counter {name}", f"is {value}, {self._top[name]} is in use")


def _fields(names: list[str], values: list[str | None]) -> dict[str, str]:
    """Pair what HMGET answers with what was asked, without what there is not."""
    return {name: value for name, value in zip(names, values, strict=True) if value is not None}
