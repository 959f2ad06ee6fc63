"""No script stops half-way: on any damaged field it does all of its work, or writes nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from redis.asyncio import Redis

from rq_broker.domain import errors
from rq_broker.domain.identity import ACTOR, Actor
from rq_broker.store import scripts
from rq_broker.store.broker import Broker
from tests.store.scene import CALLS, Scene

LUA = Path(scripts.__file__).parent / "lua"
SOURCES = {path.relative_to(LUA).as_posix(): path.read_text() for path in LUA.rglob("*.lua")}


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
    few = r"[A-Z_]+|names|obsolete|changes|members|more|counters|heads"
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
