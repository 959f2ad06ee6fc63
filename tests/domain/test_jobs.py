"""The state machine, shapes as text, and the default policy."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rq_broker.domain.jobs import (
    EXPECTED_CLASSES,
    HOLDING,
    MOVES,
    Demand,
    Shape,
    Status,
    expected_class,
    origins,
)
from rq_broker.domain.policy import Policy
from rq_broker.domain.validation import LONGEST_SPAN

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NEEDS = st.dictionaries(TEXTS, st.integers(1, 2**53 - 1), max_size=3).map(
    lambda amounts: tuple(sorted(amounts.items()))
)
SHAPES = st.builds(
    Shape,
    st.builds(
        Demand, st.lists(NEEDS, max_size=3).map(tuple), st.none() | TEXTS, spread=st.booleans()
    ),
    TEXTS,
    TEXTS,
    st.none() | st.sampled_from(EXPECTED_CLASSES),
)


@given(SHAPES)
def test_a_shape_is_read_back_from_its_text(shape: Shape) -> None:
    """`parse` reads back every shape that `canonical` rendered, with every digit."""
    assert Shape.parse(shape.canonical()) == shape


@given(SHAPES, SHAPES)
def test_different_shapes_have_different_texts(one: Shape, other: Shape) -> None:
    """Two shapes share their text only when they are equal."""
    assert (one.canonical() == other.canonical()) == (one == other)


def test_a_shape_without_expected_keeps_its_text() -> None:
    """The text has a sixth value only if the shape expects: digests of earlier versions stay."""
    plain = Shape(Demand(((("VCPU", 4),),), "host1"), "lab-7", "https://lab:443")
    assert plain.canonical() == '[[{"VCPU":4}],"host1",false,"lab-7","https://lab:443"]'
    expecting = Shape(plain.demand, plain.owner, plain.destination, 3600)
    assert expecting.canonical() == f"{plain.canonical()[:-1]},3600]"


@given(st.floats(0, LONGEST_SPAN, exclude_min=True))
def test_a_class_is_the_next_above_what_is_said(seconds: float) -> None:
    """What a job says, to the ms, is rounded up to the smallest class that is not below it."""
    kept = round(seconds * 1000) / 1000
    rounded = expected_class(seconds)
    assert rounded == min(bound for bound in EXPECTED_CLASSES if bound >= kept)
    assert expected_class(kept) == rounded


def test_no_client_may_set_granted() -> None:
    """No client may set `granted`, and no arrow leads from a status to itself."""
    assert origins(Status.GRANTED) == []
    assert all(status not in targets for status, targets in MOVES.items())
    assert MOVES.keys() == set(Status)


def test_origins_are_the_arrows_backwards() -> None:
    """`origins` lists exactly the statuses from which MOVES leads to a status."""
    arrows = {(source, to) for source, targets in MOVES.items() for to in targets}
    assert {(source, to) for to in Status for source in origins(to)} == arrows
    assert origins(Status.QUEUED) == [status for status in Status if status != Status.QUEUED]
    assert {Status.GRANTED, Status.RUNNING} == HOLDING


def test_the_default_policy() -> None:
    """The defaults: patience and offer five minutes, running without end, retention seven days."""
    policy = Policy()
    assert (policy.patience, policy.offer, policy.running) == (300.0, 300.0, None)
    assert (policy.retention, policy.paused) == (604800.0, False)
    assert (policy.share, policy.limits) == (None, {})


def test_values_are_frozen() -> None:
    """A value cannot be changed after it was built."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        Policy().paused = True  # type: ignore[misc]  # that it is refused is what is tested
