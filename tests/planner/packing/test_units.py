"""min_unit and step_size: the amounts that a host gives one instance."""

from __future__ import annotations

import pytest

from rq_broker.domain.capacity import Host
from rq_broker.domain.jobs import Demand
from rq_broker.planner import could_ever_fit
from rq_broker.planner.packing.host_table import HostTable, free_now
from rq_broker.planner.packing.placer import Placer
from rq_broker.planner.packing.search import StepBudget

HOST = Host("h", {"VCPU": 16}, max_unit={"VCPU": 8}, min_unit={"VCPU": 3}, step_size={"VCPU": 2})


@pytest.mark.parametrize("amounts", [(1,), (2,), (5,), (10,), (4, 5), (4, 2)])
def test_amounts_that_a_host_refuses_are_not_placed(amounts: tuple[int, ...]) -> None:
    """Below min_unit, above max_unit, or no multiple of step_size: alike, mixed, and for ever."""
    demand = Demand(tuple((("VCPU", amount),) for amount in amounts))
    assert Placer(HostTable([HOST], free_now), demand).place(0, StepBudget(99)) is None
    assert could_ever_fit({"h": HOST}, demand) is not None


@pytest.mark.parametrize("amounts", [(4,), (8,), (4, 4), (4, 6), (8, 8)])
def test_amounts_that_a_host_gives_are_placed(amounts: tuple[int, ...]) -> None:
    """Everything between the bounds that is a multiple of the step."""
    demand = Demand(tuple((("VCPU", amount),) for amount in amounts))
    assert Placer(HostTable([HOST], free_now), demand).place(0, StepBudget(99)) is not None
