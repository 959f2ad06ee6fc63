"""A type with a job in each state, and a call of every script that writes: what tests damage."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from rq_broker.domain.capacity import Host
from rq_broker.domain.deliveries import Delivery
from rq_broker.domain.identity import Role
from rq_broker.domain.jobs import Job, Status
from rq_broker.domain.offers import OFFER
from rq_broker.domain.terms import Terms
from rq_broker.domain.tokens import NewToken
from rq_broker.store import records
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker, Settlement, SourceReport
from rq_broker.store.keys import INSTALLATION, Keys
from rq_broker.store.rates import Bucket
from tests.making import (
    TYPE,
    array_submission,
    bring,
    claim_one,
    grant,
    head_of,
    planned_grant,
    publish,
    settle,
    shape,
    submission,
    submit,
)

KEYS = Keys(TYPE)
SPARE = "spare"
"""A type without jobs."""
LAB = "lab"
OFFERED = shape(destination=OFFER)
SHARES = {"s": {("lab1", "VCPU"): 1}}
DAMAGED = "damaged"
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
        for base in (KEYS.base, Keys(SPARE).base):
            with suppress(ResponseError):  # it may be no hash any more
                await self.client.hdel(base, "clock_latest")
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
    "submit many": lambda s: s.broker.submit_many(
        TYPE,
        [
            submission("new", priority=7, expected=5.0),
            submission("newer", terms=Terms(FAR, 60.0, 60.0, ("beside", "new"), after_any=True)),
        ],
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


class WholeScene(Scene):
    """The same with arrays of jobs, tokens, keys, a loss, and a source that nobody polls."""

    async def build(self) -> None:
        """Build the scene, and what the other scripts work on."""
        broker = self.broker
        await super().build()
        await broker.submit_array(TYPE, array_submission(3, "row", at_once=2))
        await broker.set_keys(TYPE, "o", ("whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5",))
        await broker.create_token(NewToken(Role.VIEWER), "old", "ab" * 32)
        self.row = await broker.read_array(TYPE, "row")
        base = await self.client.hgetall(KEYS.base)
        self.lost: dict[str, Any] = {
            "incarnation": "another",
            "id": int(base["id"]) + 9,
            "fence": 9_999,
            "witness": [],
        }
        await self.client.hset(KEYS.of("lost"), "before", "1 1 1 1 1")
        await self.client.sadd(KEYS.of("sources"), "gone")
        await self.client.zadd(KEYS.of("reports"), {"hour:7": 1})
        session = Keys(INSTALLATION).of("session", "cd")
        await self.client.hset(session, mapping={"name": "me", "way": "token"})
        test: dict[Any, Any] = {
            "callback": "http://x/y",
            "destination": "http://x:80",
            "owner": "o",
        }
        await self.client.hset(KEYS.of("test", "first"), mapping=test)
        await self.client.zadd(KEYS.of("tests"), {"first": FAR})
        await broker.set_policy(SPARE, {"paused": True})
        self.dumps = await self.state_of_keys()

    async def run(self, verb: str, type_: str = TYPE, **arguments: Any) -> None:
        """Run a script that has no call of its own."""
        await self.broker.runner.run(verb, type_, **arguments)

    def member_of(self, name: str) -> str:
        """Return the member of the job that is queued, or of one that is not."""
        return self._member(name, self.queued.id)


OTHER_CALLS: Mapping[str, Callable[[WholeScene], Awaitable[object]]] = {
    "send_test": lambda s: s.broker.send_test(TYPE, "another", "http://x/y", "http://x:80"),
    "claim_tests": lambda s: s.broker.claim_tests(TYPE, 10),
    "settle_test": lambda s: s.broker.settle_test(TYPE, "first", "http_200", 7),
    "acknowledge_losses": lambda s: s.broker.acknowledge_losses(TYPE),
    "allow": lambda s: s.broker.allow([Bucket("x", 1.0, 1)]),
    "create_token": lambda s: s.broker.create_token(NewToken(Role.VIEWER), "n", "cd" * 32),
    "rotate_token": lambda s: s.broker.rotate_token("old", "ef" * 32, 60.0, 60.0),
    "revoke_token": lambda s: s.broker.revoke_token("old"),
    "create_session": lambda s: s.run(
        "create_session",
        INSTALLATION,
        session="ab",
        identity="me",
        way="token",
        idle=60_000,
        lifetime=60_000,
        most=1,
        record=["digest", "ab"],
    ),
    "end_session": lambda s: s.run("end_session", INSTALLATION, session="cd"),
    "roll_up": lambda s: s.run(
        "roll_up",
        known="",
        state="{}",
        now=2,
        steps=[{"step": "hour:0", "ends": 9, "gone": ["rest"], "sums": ["all", "{}"]}],
    ),
    "drop_type": lambda s: s.broker.drop_type(SPARE),
    "record_drop": lambda s: s.run("record_drop", INSTALLATION, dropped=SPARE, deleted="{}"),
    "forget_type": lambda s: s.broker.forget_type("never"),
    "set_keys": lambda s: s.broker.set_keys(TYPE, "p", ()),
    "encrypt_keys": lambda s: s.run(
        "encrypt_keys",
        owner_id="o",
        was="whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5",
        signing_keys="other",
    ),
    "fail": lambda s: s.broker.fail(TYPE, LAB, s.source_term, "unreachable", "away"),
    "watch": lambda s: s.broker.watch(TYPE, LAB, s.source_term, 5.0),
    "forget_source": lambda s: s.broker.forget_source(TYPE, "gone"),
    "forecast": lambda s: s.broker.forecast(TYPE, [(s.queued, 60.0, 60.0)]),
    "report_loss": lambda s: s.run("report_loss", **s.lost),
    "step": lambda s: s.run("step", offset=0, step=60_000),
    "repair_job": lambda s: s.run(
        "repair_job", member=s.member_of("queued"), callback=None, sets=()
    ),
    "repair_no_job": lambda s: s.run(
        "repair_job", member=s.member_of("gone"), callback=None, sets=("heads",)
    ),
    "repair_array": lambda s: s.run("repair_array", array="row"),
    "repair_keys": lambda s: s.run("repair_keys", keys=["usage", "zset"]),
    "repair_type": lambda s: s.run(
        "repair_type",
        counters=["id", "99"],
        callbacks=["A" * 16, "gone"],
        shapes=["A" * 16],
        receivers=["http://x:80 o"],
        servers=["s"],
        waiting=["o", "1"],
        bytes=["o", "1"],
    ),
    "submit_array": lambda s: s.broker.submit_array(TYPE, array_submission(3, "new", at_once=2)),
    "reorder_array": lambda s: s.broker.reorder_array(s.row, "position", "front"),
    "withdraw_array": lambda s: s.broker.withdraw_array(s.row),
}
"""Of scripts that work on what is no single job; with CALLS, each script that writes is called."""
