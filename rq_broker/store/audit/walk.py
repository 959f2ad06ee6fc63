"""One walk over the keys of a type: how they are read, and what the walk has collected."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

from redis import exceptions
from redis.asyncio import Redis, RedisCluster

from rq_broker.domain.jobs import HOLDING
from rq_broker.store.audit.findings import Finding, Severity
from rq_broker.store.keys import Keys, callback_digest
from rq_broker.store.runner import Runner

PAGE = 500
"""Entries read with one command. It bounds the time for which one command keeps Redis from serving
others, and the size of a pipeline's replies."""
OWNER_PAGE = 100
"""Jobs of an owner read by one call. Redis serves nobody else for some 0.2 ms then."""
KINDS_READ = {"Z": "zset", "H": "hash", "S": "set"}
"""First letter of a command → what it reads."""


@dataclass(frozen=True, slots=True)
class ListedJob:
    """A job as one status set lists it, with its hash; the hash is empty where there is none."""

    status: str
    member: str
    priority: float
    fields: dict[str, str]
    row: Any
    """All that `audit_jobs` returned of it."""

    @property
    def id(self) -> int:
        """The ID that the member begins with."""
        return int(self.member[:16])

    @property
    def request_id(self) -> str:
        """The request_id that the member ends with."""
        return self.member[17:]

    @property
    def subject(self) -> str:
        """The name that findings give it."""
        return f"job {self.member}"


@dataclass
class Tally:
    """What the jobs read so far account for; later checks compare other keys with it."""

    members: Counter[str] = field(default_factory=Counter)
    """Name of a set or hash → how many of the jobs belong in it."""
    held: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """Host → resource → the sum of what jobs hold there."""
    usage: Counter[str] = field(default_factory=Counter)
    """`<resource>/<owner_id>` → the sum of what the owner's jobs hold, or have as seen."""
    holders: set[str] = field(default_factory=set)
    """The members whose holds are in the sums."""
    member_by_fence: dict[int, str] = field(default_factory=dict)
    servers: dict[str, str] = field(default_factory=dict)
    """Server → the member of the running job that names it."""
    arrays: set[str] = field(default_factory=set)
    """Names of arrays that jobs may belong to."""
    array_holders: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Array with `at_once` → members of its jobs that hold capacity."""
    without_deadline: dict[str, int] = field(default_factory=dict)
    """Members of running jobs without a deadline → since when they run, or are renewed, ms; where
    the policy's default ends them, which jobs have met only since it is the default."""
    first_with_deadline: float = inf
    """Since when the first of those with a deadline runs, ms."""
    parked_at: set[str] = field(default_factory=set)
    """Receivers at which a callback is parked."""
    highest: Counter[str] = field(default_factory=Counter)
    """Counter in the base hash → the highest number that is in use."""

    def take_counts(self, whole: Tally) -> None:
        """Take from the tally of all jobs what some of them cannot account for."""
        self.members = whole.members
        self.highest = whole.highest
        self.arrays |= whole.arrays
        self.parked_at |= whole.parked_at


class Walk:
    """Reads the keys of one type; keeps the findings, each once, and the tally."""

    def __init__(
        self, client: Redis | RedisCluster, type_: str, on_progress: OnProgress | None = None
    ) -> None:
        self.client: Any = client
        self.type = type_
        self.keys = Keys(type_)
        self.hosts_before: dict[str, float] = {}
        """Host → number of its last change when the walk began."""
        self._on_progress = on_progress
        self._runner = Runner(client)
        self.tally = Tally()
        self._findings: dict[Finding, None] = {}

    @property
    def findings(self) -> list[Finding]:
        """All findings so far, in the order in which they were made."""
        return list(self._findings)

    def restore(self, findings: Iterable[Finding]) -> None:
        """Add the findings of the part of the walk that an earlier process did."""
        self._findings.update(dict.fromkeys(findings))

    def note(self, subject: str, text: str) -> None:
        """Report something allowed."""
        self._findings[Finding(Severity.NOTE, subject, text)] = None

    def fault(self, subject: str, text: str) -> None:
        """Report a contradiction."""
        self._findings[Finding(Severity.FAULT, subject, text)] = None

    def wrong_kind(self, name: str, kind: str) -> None:
        """Report a key that is of another kind than its own; `name` is without the base."""
        self.fault(f"key {name or 'itself'}", f"is no {kind}, so that no script of ours wrote it")

    def check(self, is_true: bool, subject: str, text: str) -> None:
        """Report a contradiction unless the condition is true."""
        if not is_true:
            self.fault(subject, text)

    async def jobs(
        self,
        status: str,
        *,
        priority: str = "",
        after: str = "",
        count: int = 0,
        is_random: bool = False,
        members: Sequence[str] = (),
    ) -> list[Any]:
        """Read jobs, all there is of each; the arguments are those of the script."""
        page = await self._read(
            status, (priority, after), count, is_random, with_plain=True, members=members
        )
        return list(page.jobs)

    async def page_of(self, status: str, members: Sequence[str]) -> Any:
        """Read a page of these jobs, all there is of each."""
        return await self._read(status, ("", ""), 0, False, with_plain=True, members=members)

    async def page(
        self,
        status: str,
        after: tuple[str, str] = ("", ""),
        *,
        count: int,
        is_random: bool = False,
    ) -> Any:
        """Read a page of jobs, and of those that are plain only what is left to check."""
        with_plain = status in HOLDING  # what they hold is added up, so none of them is plain
        return await self._read(status, after, count, is_random, with_plain=with_plain)

    async def _read(
        self,
        status: str,
        after: tuple[str, str],
        count: int,
        is_random: bool,
        *,
        with_plain: bool,
        members: Sequence[str] = (),
    ) -> Any:
        return await self._runner.run(
            "audit_jobs",
            self.type,
            status=status,
            priority=after[0],
            after=after[1],
            count=count,
            is_random=is_random,
            with_plain=with_plain,
            members=members,
        )

    async def run(self, verb: str, **arguments: Any) -> Any:
        """Run a script that only reads."""
        return await self._runner.run(verb, self.type, **arguments)

    async def indexed_jobs(self, callbacks: Sequence[str]) -> list[str]:
        """Return the request_id to which the index gives each callback, '' for none."""
        reply = await self._runner.run("audit_callbacks", self.type, digests=callbacks)
        return list(reply.request_ids)

    async def shapes(self, digests: Sequence[str]) -> list[Any]:
        """Read what stands of each shape, at one instant."""
        reply = await self._runner.run("audit_shapes", self.type, shapes=digests)
        return list(reply.shapes)

    async def owner_page(self, owner: str, cursor: str) -> Any:
        """Read what some jobs of an owner take; the cursor is '0' at first and at the end."""
        return await self._runner.run(
            "audit_owner", self.type, owner=owner, cursor=cursor, count=OWNER_PAGE
        )

    async def command(self, command: str, name: str) -> Any:
        """Send a command with one key."""
        return await self._runner.command(command, self.keys.of(name))

    async def progress(self, status: str, after: tuple[str, str]) -> None:
        """Note that the jobs of a status are checked up to this one, and let others go first."""
        if self._on_progress:
            self._on_progress(self, status, after)
        await asyncio.sleep(0)

    async def pages(self, command: str, name: str) -> AsyncIterator[list[tuple[str, Any]]]:
        """Yield the entries of a zset, hash or set, at most PAGE at a time; some may be repeated.

        An entry of a set has the value None.
        """
        client = self.client
        scan = {"ZSCAN": client.zscan, "HSCAN": client.hscan, "SSCAN": client.sscan}[command]
        cursor: Any = 0
        while True:
            try:
                cursor, entries = await scan(self.keys.of(name), cursor, count=PAGE)
            except exceptions.ResponseError as error:
                if not str(error).startswith("WRONGTYPE"):
                    raise
                self.wrong_kind(name, KINDS_READ[command[0]])
                return
            if command == "SSCAN":
                entries = dict.fromkeys(entries)
            page = list(entries.items()) if isinstance(entries, Mapping) else entries
            for start in range(0, len(page), PAGE):
                yield page[start : start + PAGE]
            if not int(cursor):
                return

    async def entries(self, name: str, command: str = "ZSCAN") -> list[tuple[str, Any]]:
        """Read all entries of one zset or hash."""
        return [entry async for page in self.pages(command, name) for entry in page]

    async def pipeline(self, commands: Iterable[tuple[Any, ...]]) -> list[Any]:
        """Send commands together and return their replies, None of a key of another kind.

        Not as a transaction: Redis queues none at `maxmemory`.
        """
        pipeline = self.client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        replies = list(await pipeline.execute(raise_on_error=False))
        for number, reply in enumerate(replies):
            if isinstance(reply, Exception):
                if not str(reply).startswith("WRONGTYPE"):
                    raise reply
                replies[number] = None
        return replies

    async def scores(self, sets: Iterable[str], members: list[str]) -> list[list[float | None]]:
        """Read the score of each member in each set; returns one row for each member."""
        if not members:
            return []
        none = [None] * len(members)
        columns = await self.pipeline(("ZMSCORE", self.keys.of(name), *members) for name in sets)
        return [list(row) for row in zip(*(column or none for column in columns), strict=True)]


OnProgress = Callable[[Walk, str, tuple[str, str]], None]
"""Called with the walk, and the status and the last job (priority, member) that it has checked."""


def named(fields: list[str], values: list[str | None]) -> dict[str, str]:
    """Pair the reply of HMGET with the fields asked for; missing fields are left out."""
    return {name: value for name, value in zip(fields, values, strict=True) if value is not None}


def digest_or_none(callback: str, name: str) -> str:
    """Digest the callback of the job with this name; '' if it is no text: the index has none."""
    try:
        return callback_digest(callback, name)
    except UnicodeEncodeError:
        return ""
