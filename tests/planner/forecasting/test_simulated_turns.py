"""The order in which simulated passes consider kinds of jobs."""

from __future__ import annotations

from collections import deque
from random import Random
from typing import cast

import pytest

from rq_broker.planner.forecasting.simulated_jobs import Batch, Kind
from rq_broker.planner.forecasting.simulated_turns import LineTurns

KINDS = 12
KIND = cast(Kind, None)
"""Of all batches here: an order reads places only."""


def batch(order: float) -> Batch:
    """Return a batch at a place in the line."""
    return Batch(order, KIND, 1, -1, ())


@pytest.mark.parametrize("seed", range(30))
def test_each_pass_goes_through_the_line_in_order(seed: int) -> None:
    """Whatever starts, waits or arrives, a pass considers the first batches by their places."""
    rng = Random(seed)
    queues: list[deque[Batch]] = [deque() for _ in range(KINDS)]
    for order in range(40):
        rng.choice(queues).append(batch(order))
    turns, last = LineTurns(queues), 40
    for _ in range(10):
        turns.begin_pass()
        considered, out = list[float](), set[int]()
        while (number := turns.first()) is not None:
            firsts = [(queue[0].order, n) for n, queue in enumerate(queues) if queue]
            assert number == min(each for each in firsts if each[1] not in out)[1]
            considered.append(queues[number][0].order)
            if rng.random() < 0.3:
                queues[number].popleft()
                turns.requeue()
            else:
                out.add(number)
                turns.drop()
        assert considered == sorted(considered)
        for _ in range(rng.randrange(4)):
            last, number = last + 1, rng.randrange(KINDS)
            queues[number].append(batch(last))
            if len(queues[number]) == 1:
                turns.add(number)
