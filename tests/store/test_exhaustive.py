"""Two jobs, one unit of capacity, two workers: every order of steps, on the real scripts."""

from __future__ import annotations

import os
from random import Random

import pytest

from tests.store.exploring import Explorer, explore, wander

DEPTH = int(os.environ.get("RQB_EXPLORE_DEPTH", "5"))
"""Steps of the search. One more takes some three times as long: 5 takes seconds, 9 minutes."""


@pytest.mark.parametrize("faults", [False, True])
async def test_no_order_of_steps_oversells_or_loses(
    monkeypatch: pytest.MonkeyPatch, faults: bool
) -> None:
    """Whatever crashes and whenever time passes, nothing is oversold and every job ends."""
    depth = DEPTH - 1 if faults else DEPTH
    met, taken = await explore(Explorer(monkeypatch), depth, faults=faults, ticks=2, sample=50)
    assert met > 50
    print(f"{met} worlds, {taken} steps")


async def test_no_long_walk_oversells_or_loses(monkeypatch: pytest.MonkeyPatch) -> None:
    """On long random walks, state that goes back included, no webhook-id names two grants."""
    await wander(Explorer(monkeypatch), 15, 50, Random(0))
