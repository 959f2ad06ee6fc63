"""No script stops half-way: on any damaged field it does all of its work, or writes nothing."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from rq_broker.domain import errors
from rq_broker.domain.capacity import Host
from rq_broker.domain.deliveries import Delivery
from rq_broker.domain.identity import ACTOR, Actor
from rq_broker.domain.jobs import Job, Status
from rq_broker.domain.offers import OFFER
from rq_broker.domain.terms import Terms
from rq_broker.store import records, scripts
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker, Settlement, SourceReport
from rq_broker.store.keys import Keys
from tests.making import (
    TYPE,
    bring,
    claim_one,
    grant,
    head_of,
    planned_grant,
    publish,
    settle,
    shape,
    submit,
)

KEYS = Keys(TYPE)
LUA = Path(scripts.__file__).parent / "lua"
SOURCES = {path.relative_to(LUA).as_posix(): path.read_text() for path in LUA.rglob("*.lua")}
LAB = "lab"
OFFERED = shape(destination=OFFER)
SHARES = {"s": {("lab1", "VCPU"): 1}}
DAMAGED = "damaged"


def _lines(pattern: str) -> list[str]:
    return [
        f"{name}:{number} {line.strip()}"
        for name, text in SOURCES.items()
        for number, line in enumerate(text.splitlines(), 1)
        if re.search(pattern, line.split("--")[0])
    ]


def test_unpack_is_bounded() -> None:
    """What a script unpacks has an upper bound, or few values by its making."""
    # Constants, and lists of a bound length.
    few = r"[A-Z_]+|names|obsolete|changes|members|more|counters"
    bounded = rf"unpack\(([\w.]+, \w+(?: \+ 1)?, math\.min\(|({few})(\)|, 1, #))"
    assert [line for line in _lines(r"\bunpack\(") if not re.search(bounded, line)] == []


def test_counters_are_added_to_by_what_cannot_fail() -> None:
    """HINCRBY fails on a damaged number, so that only `add_to` uses it, by pcall."""
    assert [line.split(":")[0] for line in _lines("'HINCRBY'")] == ["lib/base.lua"]
    assert "redis.pcall('HINCRBY'" in SOURCES["lib/base.lua"]


def test_text_of_redis_is_no_operand() -> None:
    """No arithmetic and no comparison takes a reply of HGET or HMGET as it is."""
    assert _lines(r"redis\.call\('HM?GET'[^()\n]*(\([^()]*\))?[^()]*\)\s*[-+*/<>]") == []
    assert _lines(r"tonumber\(\w+\[\d\] or '[-\d]+'\)") == []
    assert _lines(r"\(\w+\[\d\] or -?\d+\)") == []


FAR = 4_000_000_000_000
"""A time in the year 2096, ms."""


class Scene:
    """A type with a job in each state, and calls of every verb that writes."""

    def __init__(self, client: Redis, broker: Broker) -> None:
        self.client = client
        self.broker = broker
        self.jobs: dict[str, Job] = {}
        self.dumps: dict[str, Any] = {}

    async def build(self) -> None:
        """Bring jobs into every state; keep a dump of each key."""
        broker = self.broker
        policy = {
            "holds": "until_seen",
            "share": "owner",
            "limits": {"*": {"VCPU": 99}},
            "concurrency": 9,
            "audit_log": 500,
        }
        await broker.set_policy(TYPE, policy)
        await publish(broker)
        self.source_term = await broker.turn(TYPE, "me", "take", 60.0, f"source:{LAB}")
        await self.report(1)
        for status in (Status.DONE, Status.ERROR):
            await bring(broker, status, status)
        seen = await submit(broker, "running", shape=shape({"VCPU": 2}))
        assert await grant(broker, seen, shape({"VCPU": 2}), "lab1")
        await broker.transition(TYPE, "running", Status.RUNNING, servers=("s",))
        await self.report(2)
        await bring(broker, Status.RUNNING, "parting")
        parting = await submit(broker, "parted")
        assert await grant(broker, parting, None, "lab1")
        await broker.transition(TYPE, "parted", Status.DONE)
        await bring(broker, Status.GRANTED, "claimed")
        self.delivery: Delivery = await claim_one(broker)
        await settle(broker, self.delivery, Settlement("retry", "timeout", health="unhealthy"))
        claimed = self._member("claimed", self.delivery.job.id)
        await self.client.zadd(KEYS.of("deliveries"), {claimed: 1})
        self.delivery = await claim_one(broker)
        self.granted = await bring(broker, Status.GRANTED, "granted")
        self.queued = await submit(broker, "queued")
        await self._offer()
        await submit(broker, "early", terms=Terms(not_before=FAR))
        timed = Terms(give_up_after=60.0, hold_at_most=60.0, after=("queued", "claimed"))
        await submit(broker, "beside", terms=timed)
        await submit(broker, "after", terms=Terms(after=("early", "granted")))
        await broker.transition(TYPE, "early", Status.ERROR)
        await broker.note(TYPE, (), [head_of(self.queued)])
        await broker.forecast(TYPE, [(self.queued, 60.0, 60.0)])
        await self.client.xadd(KEYS.of("audit"), {"who": "somebody"})
        await broker.reorder(TYPE, "queued", "position", "front")
        self.queued = await broker.read(TYPE, "queued")
        self.state = await broker.type_state(TYPE, usage=True)
        assert await audit(self.client, TYPE) == []
        self.dumps = await self.state_of_keys()

    async def _offer(self) -> None:
        """Bring jobs without callback into the line, to an offer, and to the end of one."""
        for name in ("offered", "missed"):
            offered = await submit(self.broker, name, callback="", shape=OFFERED)
            assert await grant(self.broker, offered, OFFERED)
        await self.client.hset(KEYS.of("job", "missed"), "missed", "1")
        await self.client.zadd(KEYS.of("deadlines"), {self._member("missed", offered.id): 1})
        self.unoffered = await submit(self.broker, "unoffered", callback="", shape=OFFERED)

    def _member(self, name: str, id_: int) -> str:
        return f"{id_:016d}:{name}"

    async def report(self, sequence: int) -> Any:
        begun = await self.broker.watch(TYPE, LAB, self.source_term, 5.0)
        assert begun
        hosts = [Host("lab1", {"VCPU": 8}, {"VCPU": sequence - 1})]
        shares = SHARES if sequence > 1 else {}
        report = SourceReport(sequence, hosts, shares)
        return await self.broker.apply(TYPE, LAB, self.source_term, begun.begun, report)

    async def state_of_keys(self) -> dict[str, Any]:
        """Dump each key, but for the time that scripts note before they begin."""
        await self.client.hdel(KEYS.base, "clock_latest")
        names = sorted(map(str, await self.client.keys()))
        async with self.client.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.dump(name)
            return dict(zip(names, await pipe.execute(), strict=True))

    async def restore(self) -> None:
        """Put every key back."""
        async with self.client.pipeline(transaction=False) as pipe:
            pipe.flushall()
            for name, dump in self.dumps.items():
                pipe.restore(name, 0, dump)
            await pipe.execute()

    async def damages(self) -> list[tuple[str, str]]:
        """List each field of a hash that is a number, '' for each key of a job and for the log."""
        places = []
        for name in self.dumps:
            if await self.client.type(name) == "hash":
                fields = records.pairs(await self.broker.runner.command("HGETALL", name))
                places += [
                    (name, field)
                    for field, text in fields.items()
                    if re.fullmatch(r"-?[\d.]+( \d+)?", text) and field != "created"
                ]
            if re.search(r":(job|holds|seen|attempts):|:audit$", name):
                places.append((name, ""))
        return places

    async def damage(self, name: str, field: str) -> None:
        """Damage a field, or a whole key."""
        if field:
            await self.client.hset(name, field, DAMAGED)
        else:
            await self.client.set(name, DAMAGED)

    async def grant_queued(self) -> int | None:
        """Grant the queued job by what was planned before the damage."""
        return await self.broker.grant(TYPE, planned_grant(self.queued), self.state)

    async def withdraw_unchanged(self) -> bool:
        """Withdraw the queued job if it is in the version that it had before the damage."""
        return await self.broker.withdraw(TYPE, "queued", versions=[self.queued.version])


Call = Callable[[Scene], Awaitable[object]]
CALLS: Mapping[str, Call] = {
    "submit": lambda s: submit(s.broker, "new"),
    "submit after": lambda s: submit(
        s.broker, "new", terms=Terms(FAR, 60.0, 60.0, ("beside", "queued"), after_any=True)
    ),
    "transition beside": lambda s: s.broker.transition(TYPE, "beside", Status.DONE),
    "withdraw beside": lambda s: s.broker.withdraw(TYPE, "beside"),
    "end awaited": lambda s: s.broker.transition(TYPE, "granted", Status.DONE),
    "grant": lambda s: s.grant_queued(),
    "submit without callback": lambda s: submit(s.broker, "new", callback="", shape=OFFERED),
    "grant an offer": lambda s: s.broker.grant(TYPE, planned_grant(s.unoffered, OFFERED), s.state),
    "take": lambda s: s.broker.transition(TYPE, "missed", Status.RUNNING),
    "decline": lambda s: s.broker.transition(TYPE, "offered", Status.QUEUED),
    "withdraw unchanged": lambda s: s.withdraw_unchanged(),
    "claim": lambda s: s.broker.claim(TYPE, 60.0, 10),
    "settle": lambda s: settle(s.broker, s.delivery, Settlement("delivered", health="healthy")),
    "settle retry": lambda s: settle(
        s.broker, s.delivery, Settlement("retry", "timeout", delay=1.0, health="unhealthy")
    ),
    "settle release": lambda s: settle(s.broker, s.delivery, Settlement("release")),
    "transition": lambda s: s.broker.transition(TYPE, "running", Status.DONE),
    "transition parting": lambda s: s.broker.transition(TYPE, "parting", Status.ERROR),
    "requeue": lambda s: s.broker.transition(TYPE, "granted", Status.QUEUED),
    "withdraw": lambda s: s.broker.withdraw(TYPE, "running"),
    "withdraw queued": lambda s: s.broker.withdraw(TYPE, "queued"),
    "set_expected": lambda s: s.broker.set_expected(TYPE, "running", 60.0),
    "reorder": lambda s: s.broker.reorder(TYPE, "queued", "priority", "7"),
    "set_host": lambda s: s.broker.set_host(TYPE, Host("h1", {"VCPU": 3})),
    "drop_host": lambda s: s.broker.drop_host(TYPE, "lab1"),
    "set_policy": lambda s: s.broker.set_policy(TYPE, {"paused": True}),
    "apply": lambda s: s.report(3),
    "sweep": lambda s: s.broker.sweep(TYPE),
    "turn": lambda s: s.broker.turn(TYPE, "other", "take", 60.0),
    "reset": lambda s: s.broker.reset(TYPE, "http://x:80"),
    "note": lambda s: s.broker.note(TYPE, (), ()),
}


@pytest.fixture
async def scene(real_client: Redis) -> Scene:
    scene = Scene(real_client, Broker(real_client))
    await scene.build()
    return scene


@pytest.mark.parametrize("verb", CALLS)
async def test_damage_never_halves_a_script(scene: Scene, verb: str) -> None:
    """With any number or any key of a job damaged, a verb that fails has written nothing."""
    ACTOR.set(Actor("somebody"))
    failed = []
    for name, field in await scene.damages():
        await scene.restore()
        await scene.damage(name, field)
        before = await scene.state_of_keys()
        try:
            await CALLS[verb](scene)
        except (errors.BrokerError, ValueError):
            if await scene.state_of_keys() != before:
                failed.append((name, field))
    assert failed == []
