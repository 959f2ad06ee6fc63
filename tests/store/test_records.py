"""Records of Redis: what is written is read back, what is damaged is skipped."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given, strategies as st

from rq_broker.domain.capacity import Host
from rq_broker.domain.jobs import Status
from rq_broker.domain.planning import Head, Promise
from rq_broker.store import records
from rq_broker.store.keys import fold, member
from tests.making import shape


@given(st.dictionaries(st.text(), st.text()))
def test_pairs_are_read_from_both_replies(fields: dict[str, str]) -> None:
    """A flat list and a mapping, as replies come, read the same."""
    flat = [text for pair in fields.items() for text in pair]
    assert records.pairs(flat) == records.pairs(fields) == fields


def test_a_field_without_a_value_is_damage() -> None:
    """An odd number of texts is an error; no field is dropped silently."""
    with pytest.raises(ValueError, match="zip"):
        records.pairs(["a"])


def test_damaged_records_are_skipped(caplog: pytest.LogCaptureFixture) -> None:
    """Damaged records are logged, and the others are read."""
    assert records.readable(int, ["1", "one", None, "2"]) == [1, 2]
    assert caplog.text.count("skipping a damaged record") == 2


LONG = '{"x":"' + "y" * 300 + '"}'
FIELDS = ["id", "7", "owner", "o", "shape", "s", "created", "5", *fold("data", LONG)]
FIELDS += fold("callback", "http://x/" + "z" * 100)


def test_a_queued_job_is_read() -> None:
    """A queued job has no hosts, fence, attempts or error; folded values are whole again."""
    job = records.job("vm", "d", "-3", 1, records.pairs([*FIELDS, "status", "queued"]))
    assert (job.id, job.priority, job.position, job.status) == (7, -3, 1, Status.QUEUED)
    assert (job.data, len(job.callback)) == (LONG, 109)
    assert (job.hosts, job.fence, job.attempts, job.error, job.destination) == (
        (),
        None,
        0,
        None,
        "",
    )
    assert job.updated == job.created == 5


def test_a_granted_job_is_read() -> None:
    """A granted job has hosts, fence, attempts, the last error and the destination."""
    fields = [*FIELDS, "status", "granted", "hosts", '["h1","h1"]', "fence", "9", "attempts", "2"]
    fields += ["error", "timeout", "destination", "http://x:80", "updated", "6"]
    job = records.job("vm", "d", "4", None, records.pairs(fields))
    assert (job.hosts, job.fence, job.attempts, job.error) == (("h1", "h1"), 9, 2, "timeout")
    assert (job.destination, job.position, job.updated) == ("http://x:80", None, 6)


def test_a_host_is_read_back() -> None:
    """Capacity, used and held are read per resource; a resource's name may have a colon."""
    written = {"capacity:R:x": "4", "used:R:x": "1", "held:R:x": "2", "aggregates": '["b","a"]'}
    assert records.host("h", written) == Host(
        "h", {"R:x": 4}, {"R:x": 1}, {"R:x": 2}, frozenset({"a", "b"})
    )
    assert records.host("h", {"dropped": "1", "aggregates": "[]"}).dropped


def test_usage_is_read_by_owner() -> None:
    """The first slash ends the resource: an owner's name may have more."""
    read = records.usage({"VCPU/o": "3", "R:x/o/p:q": "1", "GPU/o": "2"})
    assert read == {"o": {"VCPU": 3, "GPU": 2}, "o/p:q": {"R:x": 1}}


@pytest.mark.parametrize(
    "values",
    [(), (Promise(1, "ä:b", 0.1 + 0.2, 1e9, frozenset({"h,1", "h"})), Promise(2, "c", 1.0, 0.0))],
)
def test_promises_survive_their_text(values: tuple[Promise, ...]) -> None:
    """Promises read back as they were; none is the empty text."""
    assert records.promises(records.promises_text(values)) == values


@pytest.mark.parametrize("kept", [{}, {"h,1": {"R:x": 4}, "ä": {"VCPU": 0, "GPU": 2**53}}])
def test_what_is_kept_survives_its_text(kept: dict[str, dict[str, int]]) -> None:
    """What reservations keep reads back as it was; nothing is the empty text."""
    assert records.kept(records.kept_text(kept)) == kept
    assert bool(records.kept_text(kept)) == bool(kept)


def test_a_waiting_shape_is_read() -> None:
    """A shape has its first jobs with priorities, its count, and when jobs were first passed."""
    heads = {member(7, "a:b"): "-3", member(8, "c"): "2"}
    own, since = [member(8, "c")], {member(7, "a:b"): "1500"}
    row = SimpleNamespace(shape="s", count=9, heads=heads, own=own, passed=since)
    waiting, passed = records.waiting(row, shape(), {member(7, "a:b"): 4.5})
    first = Head(7, "a:b", -3, prefers_until=4.5)
    assert waiting.heads == (first, Head(8, "c", 2, own_priority=True))
    assert (waiting.count, waiting.shape, passed) == (9, shape(), {"a:b": 1.5})


def test_an_attempt_is_dated_by_its_entry() -> None:
    """The ID of a stream's entry is the time it was written, in ms."""
    fields = ["attempt", "2", "fence", "7", "cause", "timeout", "milliseconds", "10"]
    attempt = records.attempt(("1500-3", fields))
    assert (attempt.ended, attempt.attempt, attempt.fence) == (1_500_000, 2, 7)
    assert (attempt.cause, attempt.milliseconds) == ("timeout", 10)


@pytest.mark.parametrize(
    ("fields", "state", "opens_for"),
    [
        ([], "closed", 0.0),
        (["failures", "4"], "closed", 0.0),
        (["failures", "5", "open_until", "3000"], "open", 2.0),
        (["failures", "5", "open_until", "1000"], "half-open", 0.0),
        (["failures", "5", "open_until", "1"], "half-open", 0.0),
    ],
)
def test_a_destinations_state_follows_the_time(
    fields: list[str], state: str, opens_for: float
) -> None:
    """A breaker is open until its end, and half-open from then on until it is closed."""
    row = SimpleNamespace(
        destination="http://x:80", owner="o", in_flight=1, parked=2, fields=records.pairs(fields)
    )
    destination = records.destination(1000, row)
    assert (destination.state, destination.opens_for) == (state, opens_for)
    assert (destination.in_flight, destination.parked) == (1, 2)
