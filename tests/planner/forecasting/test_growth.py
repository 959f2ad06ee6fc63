"""What more hosts would change about forecasts."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate, count
from random import Random

import pytest

from rq_broker.domain.policy import Policy
from rq_broker.planner.forecasting.growth import growth_steps
from rq_broker.planner.steps import run_all
from tests.planner.forecasting.lines import FOUR, history, holds, line_of
from tests.planner.oracle import host, snapshot_of, waiting


@pytest.mark.parametrize("seconds_a_step", [0.0, 0.01, 0.04, 0.1])
def test_more_hosts_move_nobody_whom_only_a_limit_holds_back(seconds_a_step: float) -> None:
    """Both sides see the same futures though time is up before all are simulated."""
    rng = Random(7)
    hosts = {f"h{n}": host(f"h{n}", {"VCPU": 4}, held={"VCPU": 4}) for n in (0, 1)}
    snapshot = snapshot_of(
        list(hosts.values()),
        (),
        policy=Policy(limits={"*": {"VCPU": 8}}),
        usage={"lab": {"VCPU": 8}},
        holds=holds(0.0, 5.0),
        history=history([rng.uniform(1, 100) for _ in range(40)]),
    )
    line = line_of([waiting("a", FOUR, *range(1, 7), owner="lab")])

    def costs() -> Iterator[float]:
        """Yield what each step takes, the later ones more: as on a busy machine."""
        return accumulate(seconds_a_step * (1 + number / 100) for number in count())

    times = costs()
    more = {"h9": host("h9", {"VCPU": 4})}
    changes = run_all(growth_steps(snapshot, more, line, clock=lambda: next(times)))
    assert [change.seconds for change in changes] == [0.0]
