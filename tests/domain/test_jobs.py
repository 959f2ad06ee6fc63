"""The state machine, shapes as text, and the default policy."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given, strategies as st
from msgspec.structs import replace

from rq_broker.domain.choices import Elastic
from rq_broker.domain.holding_times import demand_key
from rq_broker.domain.jobs import (
    HOLDING,
    MOVES,
    Demand,
    Shape,
    Status,
    expected_class,
    origins,
)
from rq_broker.domain.offers import OFFER
from rq_broker.domain.policy import Policy
from rq_broker.domain.traits import NO_TRAITS, Traits, instance_of
from rq_broker.domain.validation import LONGEST_SPAN
from tests.domain import version_2

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NEEDS = st.dictionaries(TEXTS, st.integers(1, 2**53 - 1), max_size=3).map(
    lambda amounts: tuple(sorted(amounts.items()))
)
PLAIN = st.builds(
    Demand, st.lists(NEEDS, max_size=3).map(tuple), st.none() | TEXTS, spread=st.booleans()
)
NAMES = st.lists(TEXTS, max_size=2, unique=True).map(sorted).map(tuple)
TRAITS = st.just(NO_TRAITS) | st.builds(Traits, NAMES, NAMES)
TRAITED = st.builds(
    Demand,
    st.lists(st.builds(instance_of, NEEDS, TRAITS), max_size=3).map(tuple),
    st.none() | TEXTS,
    st.booleans(),
    NAMES,
    TRAITS,
)
ELASTIC = st.builds(
    lambda demand, more, at: replace(demand, elastic=Elastic(at % len(demand.instances), more)),
    st.one_of(PLAIN, TRAITED).filter(lambda demand: demand.instances),
    st.integers(1, 999),
    st.integers(0, 2),
)
SIMPLE = st.one_of(PLAIN, TRAITED, ELASTIC)
WITH_OTHERS = st.builds(
    lambda first, others, seconds: replace(first, alternatives=tuple(others), prefer_for=seconds),
    SIMPLE,
    st.lists(SIMPLE, min_size=1, max_size=2),
    st.sampled_from([0, 1500]),
)
SHAPES = st.builds(
    Shape,
    SIMPLE | WITH_OTHERS,
    TEXTS,
    TEXTS,
    st.none() | st.floats(0, LONGEST_SPAN).map(expected_class),
)


@given(SHAPES)
def test_a_shape_is_read_back_from_its_text(shape: Shape) -> None:
    """`parse` reads back every shape that `canonical` rendered, with every digit."""
    assert Shape.parse(shape.canonical()) == shape


@given(SHAPES, SHAPES)
def test_different_shapes_have_different_texts(one: Shape, other: Shape) -> None:
    """Two shapes share their text only when they are equal."""
    assert (one.canonical() == other.canonical()) == (one == other)


@given(PLAIN, TEXTS, TEXTS, st.none() | st.integers(1, LONGEST_SPAN))
def test_what_version_2_could_say_keeps_its_text_and_key(
    demand: Demand, owner: str, destination: str, expected: int | None
) -> None:
    """Digests of shapes and keys of demands are those that the release before computed."""
    text = Shape(demand, owner, destination, expected).canonical()
    assert text == version_2.canonical(demand, owner, destination, expected)
    assert demand_key(demand) == version_2.demand_key(demand)


@given(SHAPES)
def test_version_2_reads_its_own_texts_and_refuses_all_others(shape: Shape) -> None:
    """The release before never misreads a demand that says more than it knew."""
    if shape.demand.is_plain:
        demand = shape.demand
        assert version_2.parse(shape.canonical()) == (
            demand.instances,
            demand.aggregate,
            demand.spread,
            shape.owner,
            shape.destination,
            shape.expected,
        )
    else:
        with pytest.raises(ValueError, match="no shape"):
            version_2.parse(shape.canonical())


def test_the_text_of_alternatives_is_as_documented() -> None:
    """Alternatives follow the fields that a shape without them has, each without its defaults."""
    first = Demand(((("A100", 8),),), spread=True)
    second = Demand(((("H100", 1),),), elastic=Elastic(0, 3))
    demand = replace(first, alternatives=(second,), prefer_for=60_000)
    assert Shape(demand, "o", "d").canonical() == (
        '{"instances":[{"amounts":{"A100":8}}],"owner":"o","destination":"d","spread":true,'
        '"alternatives":[{"instances":[{"amounts":{"H100":1}}],"elastic":{"index":0,"more":3}}],'
        '"prefer_for":60000}'
    )


def test_a_grant_is_of_one_alternative_and_of_a_number_in_its_range() -> None:
    """`granted` returns what is given, and refuses what the demand does not allow."""
    one, other = (("VCPU", 1),), (("GPU", 1),)
    elastic = Demand((other, one, other), elastic=Elastic(1, 2))
    demand = replace(Demand((one,)), alternatives=(elastic,))
    assert demand.granted(0, 1) == Demand((one,))
    assert demand.granted(1, 3) == Demand((other, one, other))
    assert demand.granted(1, 5) == Demand((other, one, one, one, other))
    assert demand.options[0].granted(0, 1) is not demand
    for alternative, count in ((0, 2), (0, 0), (1, 2), (1, 6), (2, 1), (-1, 3)):
        with pytest.raises(ValueError, match="alternative"):
            demand.granted(alternative, count)
    plain = Demand((one, one))
    assert plain.granted(0, 2) is plain
    with pytest.raises(ValueError, match="has no 1 instances"):
        plain.granted(0, 1)


def test_the_kinds_of_all_alternatives_count() -> None:
    """A demand is as large as all that a pass may have to place for it."""
    one, other = (("VCPU", 1),), (("GPU", 1), ("VCPU", 1))
    demand = Demand((one,), alternatives=(Demand((other, one)),))
    assert demand.kinds == 1 + 3
    assert demand.bytes > Demand((one,)).bytes + Demand((other, one)).bytes - 1


@pytest.mark.parametrize(
    "more",
    [
        '"gpus":[1]',
        '"spread":1',
        '"elastic":{"index":0,"more":1,"x":1}',
        '"instances":[{"amounts":{},"x":1}]',
    ],
)
def test_a_shape_of_a_version_to_come_is_refused(more: str) -> None:
    """A text with a field that this version does not know raises, so that it is not misread."""
    with pytest.raises(ValueError, match="no shape that this version can read"):
        Shape.parse(f'{{"instances":[],"owner":"o","destination":"d",{more}}}')


def test_instances_of_other_traits_differ() -> None:
    """Equal amounts with other traits are another kind of instance, whichever side compares."""
    plain = (("VCPU", 4),)
    fast, slow = (instance_of(plain, Traits((name,))) for name in ("FAST", "SLOW"))
    assert fast != plain
    assert plain != fast
    assert fast != slow
    assert fast == instance_of(plain, Traits(("FAST",)))
    assert len({plain, fast, slow, instance_of(plain)}) == 3
    assert "FAST" in repr(fast)


def test_a_shape_without_expected_keeps_its_text() -> None:
    """The text has a sixth value only if the shape expects: digests of earlier versions stay."""
    plain = Shape(Demand(((("VCPU", 4),),), "host1"), "lab-7", "https://lab:443")
    assert plain.canonical() == '[[{"VCPU":4}],"host1",false,"lab-7","https://lab:443"]'
    expecting = Shape(plain.demand, plain.owner, plain.destination, 3600)
    assert expecting.canonical() == f"{plain.canonical()[:-1]},3600]"


@given(st.floats(0, LONGEST_SPAN, exclude_min=True))
def test_a_class_has_two_digits_and_is_the_next_above_what_is_said(seconds: float) -> None:
    """What a job says, to the ms, grows by less than a second or a tenth, and equal to all."""
    kept = round(seconds * 1000) / 1000
    rounded = expected_class(seconds) or 0
    assert set(str(rounded)[2:]) <= {"0"}
    assert kept <= rounded < max(kept * 1.1, kept + 1) or rounded == 1
    assert expected_class(kept) == expected_class(rounded) == rounded


@pytest.mark.parametrize(
    ("seconds", "rounded"), [(0.0001, 1), (59.2, 60), (99.001, 100), (3600, 3600), (86400, 87000)]
)
def test_classes_as_the_contract_gives_them(seconds: float, rounded: int) -> None:
    """Services that write shapes themselves round alike."""
    assert expected_class(seconds) == rounded


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
    """The defaults: patience and offer five minutes, running 366 days, retention seven days."""
    policy = Policy()
    assert (policy.patience, policy.offer, policy.running) == (300.0, 300.0, 366 * 86400.0)
    assert (policy.retention, policy.paused) == (604800.0, False)
    assert (policy.share, policy.limits) == (None, {})


def test_values_are_frozen() -> None:
    """A value cannot be changed after it was built."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        Policy().paused = True  # type: ignore[misc]  # that it is refused is what is tested


def test_older_versions_leave_jobs_without_callback() -> None:
    """The text of their shape is read back, and lacks the destination that version 4 requires."""
    shape = Shape(Demand(((("VCPU", 1),),)), "o", OFFER)
    text = shape.canonical()
    assert Shape.parse(text) == shape
    assert "destination" not in json.loads(text)
    with pytest.raises(ValueError, match="no shape"):
        version_2.parse(text)
