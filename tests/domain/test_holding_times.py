"""What is predicted from how long an owner's jobs held before."""

from __future__ import annotations

import pytest

from rq_broker.domain.holding_times import STRICT_SLACK, HoldingTimes, Observation


def history(*seconds: float) -> HoldingTimes:
    return HoldingTimes(Observation("lab", "d", 0, each) for each in seconds)


@pytest.mark.parametrize(
    ("seconds", "strict_span"),
    [
        ((100.0, 200.0, 100.0), 200.0),
        ((100.0, 201.0, 100.0), 201.0 / STRICT_SLACK),
        ((*[10.0] * 10, *[11.0] * 10), 11.0),
    ],
    ids=["twice the median", "longer", "alike"],
)
def test_a_strict_span_is_the_longest_of_alike_times(
    seconds: tuple[float, ...], strict_span: float
) -> None:
    """Up to twice the median the longest is believed; beyond, a quantile with slack is taken."""
    assert history(*seconds).predict("lab", "d", 0).strict_span == strict_span


def test_a_wide_span_is_the_longest_of_the_newest_five() -> None:
    """Of ten jobs of a size only the last five count, and of these the longest."""
    times = [900.0] * 5 + [10.0, 10.0, 300.0, 10.0, 10.0]
    prediction = history(*times).predict("lab", "another demand", 0)
    assert prediction.wide_span == 300.0
