"""Trouble: one log line when a cause begins, one when it ends, whoever meets it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from rq_broker.domain import errors
from rq_broker.store import trouble
from rq_broker.store.trouble import KEYS, Trouble

DEADLINE = 10.0
OOM = errors.RedisOutOfMemory("Redis has reached its maxmemory and refuses writes")
MOVING = errors.Resharding("this type's slot moves")
DETAIL = RuntimeError("what Redis said")


class Server:
    """Refuses the writes to some keys."""

    def __init__(self) -> None:
        self.refused: dict[str, type[errors.Unavailable]] = {}
        self.probes: list[str] = []

    async def probe(self, key: str) -> type[errors.Unavailable] | None:
        self.probes.append(key)
        return self.refused.get(key)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def kept(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trouble]:
    monkeypatch.setattr(trouble, "PROBE_SECONDS", 0.01)
    monkeypatch.setattr(trouble, "QUIET_SECONDS", 0.02)
    kept = Trouble(server.probe)
    yield kept
    kept.close()


async def _over(kept: Trouble) -> None:
    async with asyncio.timeout(DEADLINE):
        while kept.present:
            await asyncio.sleep(0.01)


async def test_two_lines_for_any_number_of_calls(
    kept: Trouble, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """A cause that 500 calls on 50 types meet is logged when it begins and when it is gone."""
    server.refused = {f"rqb:{{t{number}}}": errors.RedisOutOfMemory for number in range(50)}
    for number in range(500):
        kept.note(OOM, DETAIL, f"rqb:{{t{number % 50}}}")
    assert len(caplog.messages) == 1
    assert "refuses writes; calls" in caplog.messages[0]
    assert "fail with redis_out_of_memory (RuntimeError: what Redis said)" in caplog.messages[0]
    (spell,) = kept.present
    assert (spell.error, spell.calls, len(spell.keys)) == (errors.RedisOutOfMemory, 500, KEYS)
    while len(server.probes) < 3 * KEYS:
        await asyncio.sleep(0.01)
    assert kept.present
    server.refused = {}
    await _over(kept)
    assert len(caplog.messages) == 2
    assert "500 calls failed with redis_out_of_memory" in caplog.messages[1]
    assert kept.refused == {"redis_out_of_memory": 500}


async def test_a_cause_lasts_while_one_type_meets_it(kept: Trouble, server: Server) -> None:
    """Two types moved, and the slot of one has settled: the other is still told."""
    server.refused = {"rqb:{b}": errors.Resharding}
    kept.note(MOVING, DETAIL, "rqb:{a}")
    kept.note(MOVING, DETAIL, "rqb:{b}")
    async with asyncio.timeout(DEADLINE):
        while list(kept.present[0].keys) != ["rqb:{b}"]:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    assert [spell.error for spell in kept.present] == [errors.Resharding]
    server.refused = {}
    await _over(kept)


async def test_causes_are_told_apart(
    kept: Trouble, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """When one cause gives way to another, the first ends and the second goes on."""
    server.refused = {"rqb:{a}": errors.Resharding}
    kept.note(OOM, DETAIL, "rqb:{a}")
    kept.note(MOVING, DETAIL, "rqb:{a}")
    async with asyncio.timeout(DEADLINE):
        while len(kept.present) == 2:
            await asyncio.sleep(0.01)
    assert [spell.error for spell in kept.present] == [errors.Resharding]
    assert [message.split()[0] for message in caplog.messages] == ["Redis", "this", "over"]


async def test_the_end_of_a_single_call_is_told_in_words(
    kept: Trouble, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """The seconds are those until the cause was gone, though one call met it; never below 0."""
    server.refused = {"rqb:{a}": errors.RedisLoading}
    kept.note(errors.RedisLoading("Redis is loading its data"), DETAIL, "rqb:{a}")
    await asyncio.sleep(0.2)
    server.refused = {}
    await _over(kept)
    words = caplog.messages[-1].split()
    assert words[:2] == ["over", "after"]
    assert float(words[2]) >= 0.2
    assert caplog.messages[-1].endswith("; 1 call failed with redis_loading")


async def test_a_cause_that_comes_back_is_told_again(
    kept: Trouble, caplog: pytest.LogCaptureFixture
) -> None:
    """Each change of state has its line, with the error that Redis's error was made of."""
    for lines in (1, 3):
        detail = RuntimeError("lost")
        detail.__cause__ = OSError("connection refused")
        kept.note(OOM, detail, "rqb:{a}")
        assert len(caplog.messages) == lines
        assert "(OSError: connection refused)" in caplog.messages[-1]
        await _over(kept)
