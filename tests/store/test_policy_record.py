"""The policy as Redis and the scripts have it: each form follows from the row's type."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, strategies as st

from rq_broker.domain.policy import ROWS, Policy
from rq_broker.domain.sharing import DEFAULT_HALF_LIFE, Share
from rq_broker.store import policy_record
from rq_broker.store.policy_record import lua_defaults, pairs, parse, render
from rq_broker.store.scripts import SCRIPTS

POSITIVE = st.floats(0, 1e6, exclude_min=True)
SPANS = st.none() | st.integers(0, 10**9).map(lambda ms: ms / 1000)
POLICIES = st.builds(
    Policy,
    patience=SPANS,
    offer=SPANS,
    running=SPANS,
    retention=SPANS,
    paused=st.booleans(),
    concurrency=st.integers(1, 10_000),
    share=st.none()
    | st.just("owner")
    | st.builds(Share, st.just("owner"), POSITIVE, st.dictionaries(st.text(max_size=9), POSITIVE)),
    limits=st.dictionaries(
        st.text(max_size=9), st.dictionaries(st.text(max_size=9), st.integers(0, 2**53 - 1))
    ),
)


@given(POLICIES)
def test_a_policy_survives_its_hash(policy: Policy) -> None:
    """Every field written as text is read back as it was, spans to the millisecond."""
    base = {f"policy:{row.name}": render(row, getattr(policy, row.name)) for row in ROWS}
    assert policy_record.policy({**base, "id": "7", "policy_number": "3"}) == policy


def test_an_unset_policy_is_the_default() -> None:
    """A base without policy fields reads as the default policy."""
    assert policy_record.policy({"id": "7", "hosts": "2"}) == Policy()


ROW = {row.name: row for row in ROWS}


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("patience", 1.5, "1500"),
        ("patience", 0.0, "0"),
        ("patience", None, ""),
        ("settle", 60.0, "60000"),
        ("paused", True, "1"),
        ("paused", False, "0"),
        ("concurrency", 32, "32"),
        ("share", "owner", "owner"),
        ("share", None, ""),
        ("share", Share("owner"), '{"by":"owner","half_life":86400.0,"weights":{}}'),
        (
            "share",
            Share("owner", 1.5, {"half_life": 2.0}),
            '{"by":"owner","half_life":1.5,"weights":{"half_life":2.0}}',
        ),
        ("limits", {"*": {"VCPU": 64}}, '{"*":{"VCPU":64}}'),
        ("limits", {}, "{}"),
        ("queue_limits", {"*": {"jobs": 1}}, '{"*":{"jobs":1}}'),
        ("most_waiting", None, ""),
        ("most_bytes", 5, "5"),
        ("holds", "until_seen", "until_seen"),
    ],
)
def test_the_published_forms(name: str, value: Any, text: str) -> None:
    """A field is written as the Redis contract says, and read back from that."""
    assert pairs({name: value}) == [name, render(ROW[name], value)] == [name, text]
    assert parse(ROW[name], text) == value


def test_a_share_may_have_fields_of_a_later_version() -> None:
    """A notifier that is not upgraded yet shares by the fields that it knows."""
    text = '{"by":"owner","half_life":60.0,"weights":{},"grace":5}'
    assert parse(ROW["share"], text) == Share("owner", 60.0)


def test_limits_without_a_text_are_none() -> None:
    """An empty text, as another service may have written it, limits nobody."""
    assert parse(ROW["limits"], "") == {}


def test_a_field_of_a_later_version_is_left_alone() -> None:
    """A notifier that is not upgraded yet goes on with the fields it knows."""
    assert policy_record.policy({"policy:grace": "5", "policy:paused": "1"}) == Policy(paused=True)


def test_scripts_have_the_default_of_every_row() -> None:
    """Lua assumes for an unset field what Python does: the table is made of the rows."""
    expected = {row.name: render(row, row.default) for row in ROWS}
    assert dict(re.findall(r"  (\w+) = '(.*)',", lua_defaults())) == expected
    assert expected["retention"] == "604800000"
    assert f"local DEFAULT_HALF_LIFE = {DEFAULT_HALF_LIFE:.0f}\n" in lua_defaults()
    readers = [script for script in SCRIPTS.values() if "policy_value(" in script.source]
    assert len(readers) > 3
    assert all(script.source.count(lua_defaults()) == 1 for script in readers)


@pytest.mark.parametrize("default", ["it's", "a\nb", "a\\b"])
def test_a_default_that_lua_would_read_otherwise_stops_the_start(default: str) -> None:
    """A text that needs an escape is refused, not written wrong."""
    with pytest.raises(ValueError, match="escaped"):
        lua_defaults([ROW["holds"]._replace(default=default)])


def test_a_damaged_field_has_its_default(caplog: pytest.LogCaptureFixture) -> None:
    """A field that cannot be read is named in the log; the others count."""
    base = {"policy:concurrency": "many", "policy:paused": "1"}
    assert policy_record.policy(base) == Policy(paused=True)
    assert "the policy field concurrency is damaged" in caplog.text
