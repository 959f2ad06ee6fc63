"""A key of another kind than its own stops no script half-way, wherever it turns up."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Iterable, Sequence
from contextlib import suppress
from typing import Any

import pytest
from redis.asyncio import Redis

from rq_broker.domain import errors
from rq_broker.domain.identity import ACTOR, Actor
from rq_broker.store import keys as contract
from rq_broker.store.audit import Severity, audit
from rq_broker.store.audit.kinds import KINDS
from rq_broker.store.broker import Broker
from rq_broker.store.keys import TYPES
from rq_broker.store.scripts import SCRIPTS, Script
from tests.making import TYPE, submit
from tests.store.scene import CALLS, DAMAGED, KEYS, OTHER_CALLS, Scene, WholeScene

UNREADABLE = ("", "status:queued", "status:running", "events", "hosts", "host:lab1", "job:granted",
              "owner:o", "bytes", "shapes")  # fmt: skip
EVERY_CALL = {**CALLS, **OTHER_CALLS}


class Watched(Broker):
    """Notes which scripts that write ran, and which of them failed after a write.

    The list of types is no script's: plain commands change it.
    """

    def __init__(self, client: Redis) -> None:
        super().__init__(client)
        self.ran = set[str]()
        self.halved = list[str]()
        self.scene = WholeScene(client, self)
        self._cell = ""
        self._before: dict[str, Any] | None = None
        self._evaluate = self.runner.evaluate
        self.runner.evaluate = self._watched  # type: ignore[method-assign]  # - to look at each run

    async def _watched(self, script: Script, type_: str, values: Sequence[Any]) -> Any:
        if not (self._cell and script.writes):
            return await self._evaluate(script, type_, values)
        self.ran.add(script.name)
        before = self._before or await self.scene.state_of_keys()
        try:
            reply = await self._evaluate(script, type_, values)
        except errors.BrokerError:
            if {**await self.scene.state_of_keys(), TYPES: ""} != {**before, TYPES: ""}:
                self.halved.append(f"{self._cell} ({script.name})")
            raise
        self._before = None
        return reply

    async def damage(self, verb: str, key: str, is_string: bool) -> None:
        """Bring the scene back, one key of another kind; look at the scripts from now on."""
        await self.scene.restore()
        async with self.scene.client.pipeline(transaction=False) as pipe:
            pipe.delete(key)
            pipe.zadd(key, {"damaged": 1}) if is_string else pipe.set(key, "damaged")
            await pipe.execute()
        self._before = await self.scene.state_of_keys()
        self._cell = f"{verb}: {key}"


def _one_of_a_kind(names: Iterable[str]) -> list[str]:
    of_a_kind = re.compile(r":(job|dependents|callbacks|host):[^:]+")
    return sorted({of_a_kind.sub(r":\1", name): name for name in names}.values())


async def _keys_of_scripts(client: Redis, call: Awaitable[object]) -> list[str]:
    """Return the keys that the scripts of a call use on a real server, one of each kind."""
    names = set[str]()
    async with client.monitor() as monitor:
        await call
        await client.echo("end of call")
        while '"end of call"' not in (line := await monitor.connection.read_response()):
            if " lua]" in line:
                words = re.findall(r'"((?:[^"\\]|\\.)*)"', line)
                names.update(word for word in words[1:2] if word.startswith("rqb:{"))
    by_kind = {
        re.sub(r":(job|dependents|callbacks|host):[^:]+", r":\1", name): name for name in names
    }
    return sorted(by_kind.values())


async def _call(scene: WholeScene, verb: str) -> None:
    """Carry a call out, or have it refused: what it says of the damage is of no matter here."""
    with suppress(errors.BrokerError, ValueError, LookupError):
        await EVERY_CALL[verb](scene)


async def test_a_key_of_another_kind_halves_no_script(
    client: Redis, real_client: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """With each key of each script of another kind, the script does all of its work or nothing."""
    caplog.set_level("CRITICAL")  # each restore looks like a loss
    ACTOR.set(Actor("somebody"))
    scene = Watched(real_client).scene
    await scene.build()
    strings = {key for key in scene.dumps if await real_client.type(key) == "string"}
    keys_of_calls = {}
    for verb in EVERY_CALL:
        await scene.restore()

        keys_of_calls[verb] = await _keys_of_scripts(real_client, _call(scene, verb))
    cells = [(verb, key) for verb, keys in keys_of_calls.items() for key in keys]
    if type(client) is not Redis:  # fakeredis is slow: each call with one key
        cells = list({verb: (verb, key) for verb, key in cells}.values())
    await client.flushall()
    broker = Watched(client)
    await broker.scene.build()
    for verb, key in cells:
        await broker.damage(verb, key, key in strings)
        await _call(broker.scene, verb)
    assert broker.halved == []
    if type(client) is Redis:
        assert {script.name for script in SCRIPTS.values() if script.writes} - broker.ran == set()


async def test_the_audit_names_a_key_of_another_kind_and_repair_mends_it(
    real_client: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """Whichever key is of another kind, the audit says so; after --repair no fault is left, but
    that nothing tells what waiting jobs need where `shapes` is lost."""
    caplog.set_level("CRITICAL")
    scene = Scene(real_client, Broker(real_client))
    await scene.build()
    left: dict[str, set[str]] = {}
    for name in UNREADABLE:
        await scene.restore()
        await real_client.set(KEYS.of(name) if name else KEYS.base, DAMAGED)
        findings = await audit(real_client, TYPE)
        assert any(f.subject == f"key {name or 'itself'}" for f in findings)
        for _ in range(3):
            await scene.broker.repair(TYPE, findings)
            findings = await audit(real_client, TYPE)
        left[name] = {f.text for f in findings if f.severity is Severity.FAULT}
    unmended = {name: texts for name, texts in left.items() if texts}
    assert unmended == {"shapes": {"has no demand in shapes"}}


async def test_what_a_script_set_aside_is_told_until_it_is_repaired(
    broker: Broker, client: Redis
) -> None:
    """A job is submitted though its owner's set is a string; the audit names where that is now."""
    await client.set(KEYS.of("owner", "o"), "not ours")
    await submit(broker)
    assert (await broker.read(TYPE, "d")).position == 1
    findings = await audit(client, TYPE)
    assert [f.subject for f in findings] == ["key set_aside:owner:o"]
    assert await client.get(KEYS.of("set_aside", "owner", "o")) == "not ours"
    await broker.repair(TYPE, findings)
    assert await audit(client, TYPE) == []
    assert await client.keys("*set_aside*") == []


def test_the_kinds_are_those_of_the_contract() -> None:
    """The audit checks each key that the table of keys.py lists by name alone."""
    assert contract.__doc__
    rows = re.findall(r"^\| `…:([\w:]+)` +\| (\w+)", contract.__doc__, re.MULTILINE)
    listed = {(name, kind) for name, kind in rows if name != "audit"}
    checked = {(name, kind) for kind, names in KINDS.items() for name in names}
    assert listed - checked == set()
