"""How values are written in JSON: times, jobs, and text that is not UTF-8."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import orjson
import pytest
from hypothesis import given, strategies as st
from msgspec import UNSET, UnsetType, field

from rq_broker.domain.jobs import Job, Status
from rq_broker.domain.representation import Converted, JobView, JsonObject, rfc3339, to_json

JOB = Job(7, "vm", "d", "y", '{"a":1}', "abc", 5, Status.GRANTED, 1, 2, "shape", None, ("h",))
ORIGINAL_KEYS = [
    *("ID", "CreatedAt", "UpdatedAt", "DeletedAt", "RequestID", "Type", "OwnerID", "Data"),
    *("Callback", "Priority", "Status"),
]


@given(st.integers(0, 4_000_000_000_000_000))
def test_times_keep_every_microsecond(microseconds: int) -> None:
    """A time is RFC 3339 in UTC with six digits, and reading it back loses nothing."""
    text = rfc3339(microseconds)
    seconds, fraction = divmod(microseconds, 1_000_000)
    expected = datetime.fromtimestamp(seconds, UTC).replace(microsecond=fraction)
    assert datetime.fromisoformat(text) == expected
    assert text.endswith("Z")
    assert len(text) == 27


def test_a_job_begins_with_the_keys_of_the_original() -> None:
    """The original's eleven keys come first, with its types; then ours; nothing internal."""
    job = orjson.loads(to_json(JobView.of(JOB)))
    assert [*job] == [*ORIGINAL_KEYS, "Position", "Hosts", "Fence", "Attempts", "Error", "Expected"]
    assert (job["ID"], job["Data"], job["DeletedAt"]) == (7, '{"a":1}', None)
    assert (job["Status"], job["Hosts"], job["Position"]) == ("granted", ["h"], None)
    assert job["CreatedAt"] == "1970-01-01T00:00:00.000001Z"


@pytest.mark.parametrize("reason", ["there is no host", None])
def test_reason_and_warning_are_there_only_where_set(reason: str | None) -> None:
    """A key that is not set is absent; one that is set to null is null."""
    job = JobView.of(JOB)
    with_reason = orjson.loads(to_json(job.with_fields(reason=reason)))
    assert with_reason == {**orjson.loads(to_json(job)), "Reason": reason}


def _where_above_one(number: int) -> int | UnsetType:
    return number if number > 1 else UNSET


class Small(JsonObject, frozen=True):
    """A view with each kind of field."""

    real: int = field(name="Real")
    imag: Annotated[str, Converted(str)]
    denominator: Annotated[int | UnsetType, Converted(_where_above_one)] = UNSET
    note: str | UnsetType = UNSET


def test_a_view_reads_the_attributes_that_its_fields_name() -> None:
    """Fields are read by name and converted; optional ones without a converter stay unset."""
    assert Small.of(5) == Small(5, "0")
    assert to_json(Small.of(5).with_fields(note="n")) == b'{"Real":5,"imag":"0","note":"n"}'


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-9, 9) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=9,
    )
)
def test_every_value_can_be_rendered(value: object) -> None:
    """Bytes that are not UTF-8 become U+FFFD; what was text before is the same after."""
    dirty = {"\udcff \ud800": [value, ("機\udce6",)]}
    clean = {"\ufffd \ufffd": [value, ["機\ufffd"]]}
    assert orjson.loads(to_json(dirty)) == clean


def test_a_view_with_bytes_that_are_not_utf8_can_be_rendered() -> None:
    """A view keeps its keys where one of its texts is not UTF-8, and leaves out the same ones."""
    assert to_json(Small(1, "\udcff")) == '{"Real":1,"imag":"\ufffd"}'.encode()
