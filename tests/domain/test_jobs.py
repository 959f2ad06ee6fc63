"""Frozen values: the state machine, shapes as text, and what they look like in JSON."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rq_broker.api.views import attempt_json, destination_json, host_json
from rq_broker.domain.capacity import Host
from rq_broker.domain.deliveries import Attempt, Destination
from rq_broker.domain.jobs import HOLDING, MOVES, Demand, Job, Shape, Status, origins
from rq_broker.domain.policy import Policy
from rq_broker.domain.representation import job_json, rfc3339

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
)


@given(SHAPES)
def test_a_shape_survives_its_text(shape: Shape) -> None:
    """What `canonical` renders, `parse` reads back, every digit of it."""
    assert Shape.parse(shape.canonical()) == shape


@given(SHAPES, SHAPES)
def test_different_shapes_have_different_texts(one: Shape, other: Shape) -> None:
    """Two shapes share their text only when they are equal."""
    assert (one.canonical() == other.canonical()) == (one == other)


def test_nobody_may_ask_for_a_grant() -> None:
    """`granted` is the granter's alone, and no arrow leads from a status to itself."""
    assert origins(Status.GRANTED) == []
    assert all(status not in targets for status, targets in MOVES.items())
    assert MOVES.keys() == set(Status)


def test_origins_are_the_arrows_backwards() -> None:
    """Every arrow of MOVES is found from its end, and no other."""
    arrows = {(source, to) for source, targets in MOVES.items() for to in targets}
    assert {(source, to) for to in Status for source in origins(to)} == arrows
    assert origins(Status.QUEUED) == [status for status in Status if status != Status.QUEUED]
    assert {Status.GRANTED, Status.RUNNING} == HOLDING


@given(st.integers(0, 4_000_000_000_000_000))
def test_times_are_told_to_the_microsecond(microseconds: int) -> None:
    """RFC 3339 in UTC, six digits, and nothing lost."""
    text = rfc3339(microseconds)
    read = datetime.fromisoformat(text)
    whole, fraction = divmod(microseconds, 1_000_000)
    assert read == datetime.fromtimestamp(whole, UTC).replace(microsecond=fraction)
    assert text.endswith("Z")
    assert len(text) == 27


def test_a_job_on_the_wire_begins_with_the_seeds_keys() -> None:
    """The seed's eleven keys come first, with its types; then ours; nothing internal."""
    job = Job(7, "vm", "d", "y", '{"a":1}', "abc", 5, Status.GRANTED, 1, 2, "shape", None, ("h",))
    shown = orjson.loads(orjson.dumps(job_json(job)))
    seed = ["ID", "CreatedAt", "UpdatedAt", "DeletedAt", "RequestID", "Type", "OwnerID", "Data"]
    seed += ["Callback", "Priority", "Status"]
    assert [*shown] == [*seed, "Position", "Hosts", "Fence", "Attempts", "Error"]
    assert (shown["ID"], shown["Data"], shown["DeletedAt"]) == (7, '{"a":1}', None)
    assert (shown["Status"], shown["Hosts"], shown["Position"]) == ("granted", ["h"], None)


@pytest.mark.parametrize(
    ("capacity", "used", "held", "free"),
    [
        ({"VCPU": 8}, {}, {}, {"VCPU": 8}),
        ({"VCPU": 8}, {"VCPU": 3}, {"VCPU": 4}, {"VCPU": 1}),
        ({"VCPU": 2}, {"VCPU": 3}, {"VCPU": 4}, {"VCPU": -5}),
        ({}, {"VCPU": 3}, {"GPU": 1}, {}),
    ],
)
def test_free_is_computed(
    capacity: dict[str, int], used: dict[str, int], held: dict[str, int], free: dict[str, int]
) -> None:
    """Free is capacity without used and held, below zero where a host shrank."""
    host = Host("h", capacity, used, held, frozenset({"b", "a"}))
    assert host.free == host_json(host)["free"] == free
    assert host_json(host)["aggregates"] == ["a", "b"]


def test_the_default_policy_is_the_designs() -> None:
    """Five minutes of patience and of offer, running without end, kept for seven days."""
    policy = Policy()
    assert (policy.patience, policy.offer, policy.running) == (300.0, 300.0, None)
    assert (policy.retention, policy.paused) == (604800.0, False)
    assert (policy.share, policy.limits) == (None, {})


def test_attempts_and_destinations_speak_plain_words() -> None:
    """Both show every field they have, times in RFC 3339 and spans in seconds."""
    assert attempt_json(Attempt(1_500_000, 3, 2, "timeout", 9)) == {
        "time": "1970-01-01T00:00:01.500000Z",
        "fence": 3,
        "attempt": 2,
        "cause": "timeout",
        "milliseconds": 9,
    }
    shown = destination_json(Destination("http://x:80", "open", 5, 4.5, 1, 2))
    assert shown == {
        "destination": "http://x:80",
        "state": "open",
        "failures": 5,
        "open_seconds": 4.5,
        "in_flight": 1,
        "parked": 2,
    }


def test_values_are_frozen() -> None:
    """What a picture of one moment says cannot be changed afterwards."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        Policy().paused = True  # type: ignore[misc]  # that it is refused is what is tested
