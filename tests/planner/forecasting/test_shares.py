"""Forecasts of types that share: who used least for its weight goes first, as in a pass."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rq_broker.domain.holding_times import HoldingTimes, Observation
from rq_broker.domain.line import Line, WaitingJob
from rq_broker.domain.policy import Policy
from rq_broker.domain.sharing import Share
from rq_broker.planner import forecast_line
from rq_broker.planner.forecasting.simulated_shares import SimulatedShares
from tests.planner.forecasting.lines import FOUR, forecasts
from tests.planner.oracle import host, snapshot_of, waiting

HISTORY = HoldingTimes(Observation(owner, "", 0, 100.0) for owner in ("a", "b") for _ in range(9))
SHAPES = {owner: waiting(owner, FOUR, owner=owner).shape for owner in ("a", "b")}
SHARING = Policy(share=Share("owner", half_life=1000.0))


def order(owners: str, own: str = "", **fields: Any) -> str:
    """Return the owners of a line's jobs in the order in which they start on one host.

    Jobs at the places in `own` have a priority of their own.
    """
    jobs = tuple(
        WaitingJob(rank, rank + 1, f"r{rank}", rank, owner, own_priority=str(rank) in own)
        for rank, owner in enumerate(owners)
    )
    policy = fields.pop("policy", SHARING)
    snapshot = snapshot_of([host("h", {"VCPU": 4})], (), policy=policy, history=HISTORY, **fields)
    found = forecast_line(snapshot, Line(len(jobs), jobs, SHAPES), futures=1)
    starts = {job.rank: found.of(job.id, job.rank, job.digest).p50 or 0.0 for job in jobs}
    return "".join(owners[rank] for rank in sorted(starts, key=lambda rank: starts[rank]))


def test_without_a_share_the_line_is_served_in_order() -> None:
    """Owners do not matter then."""
    assert order("aaabbb", policy=Policy()) == "aaabbb"


def test_owners_of_equal_usage_take_turns() -> None:
    """After a job of one owner the other has used less."""
    assert order("aaabbb") == "ababab"


def test_a_grant_counts_within_its_pass() -> None:
    """Of two hosts that are free at once each owner gets one, wherever its jobs stand."""
    shapes = [waiting("a", FOUR, 1, 2, owner="a"), waiting("b", FOUR, 3, owner="b")]
    hosts = [host(name, {"VCPU": 4}) for name in ("h1", "h2")]
    snapshot = snapshot_of(hosts, shapes, policy=SHARING, history=HISTORY)
    assert {id_: found.p50 for id_, found in forecasts(snapshot).items()} == {1: 0, 2: 100, 3: 0}


def test_what_an_owner_used_counts_until_it_fades() -> None:
    """An owner that used much until now waits until the other has caught up."""
    past = {"a": {"VCPU": 2.0}}
    assert order("aaabbb", past_usage=past).startswith("bb")
    faded = replace(SHARING, share=Share("owner", half_life=1.0))
    assert order("aaabbb", past_usage=past, policy=faded) == "bababa"


def test_weights_give_an_owner_more_turns() -> None:
    """Twice the weight is about twice as many jobs."""
    weighted = replace(SHARING, share=Share("owner", half_life=1000.0, weights={"b": 2.0}))
    assert order("aaaabbbb", policy=weighted)[:6].count("b") == 4


def test_a_priority_of_its_own_keeps_a_jobs_place() -> None:
    """At the front or in the middle it is served where it stands."""
    assert order("aaabbb", own="2") == "abaabb"
    assert order("aabb", own="0")[0] == "a"


def test_a_share_is_of_the_dominant_resource() -> None:
    """The larger of two parts counts, on average and granted in a pass, divided by the weight."""
    usage = {"a": (2, 8)}
    shares = SimulatedShares(
        Share("owner", half_life=10.0, weights={"*": 2.0}), (4, 80), usage, {"a": [1.0, 0.0]}
    )
    assert shares.share("a") == pytest.approx(1 / 4 / 2)
    shares.begin_pass(10.0)
    assert shares.share("a") == pytest.approx(1.5 / 4 / 2)
    shares.grant("a", (1, 0))
    shares.grant("a", (0, 60))
    assert shares.share("a") == pytest.approx((60 + 4) / 80 / 2)
    shares.settle("a", 10.0)
    usage["a"] = (0, 8)
    shares.begin_pass(20.0)
    assert shares.share("a") == pytest.approx(0.75 / 4 / 2)
