"""The table of the policy: a row is enough for all that follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import generate
import msgspec
import pytest
from msgspec import Meta

from rq_broker.domain.decoding import convert
from rq_broker.domain.errors import Invalid
from rq_broker.domain.policy import (
    ROWS,
    Policy,
    PolicyChange,
    change_of,
    changed_fields,
    rows_of,
)
from rq_broker.domain.validation import Span
from rq_broker.store.policy_record import lua_defaults, parse, render


@dataclass(frozen=True, slots=True)
class Wider(Policy):
    """The policy with two rows more."""

    grace: Annotated[Span | None, Meta(description="how long to wait")] = 5.0
    tries: Annotated[Annotated[int, Meta(ge=1, le=9)], Meta(description="how often")] = 3


def change(body: Any) -> dict[str, Any]:
    return changed_fields(convert(body, change_of(Wider)))


def test_a_new_row_is_parsed_and_refused_by_name() -> None:
    """The body of a change takes the new fields, within their bounds, and no unknown ones."""
    assert change({"grace": 2, "tries": 9, "paused": True}) == {
        "grace": 2.0,
        "tries": 9,
        "paused": True,
    }
    assert change({"grace": None}) == {"grace": None}
    for body, sentence in (
        ({"grace": -1}, "grace must be seconds from 0"),
        (
            {"expected_most": 0},
            "expected_most must be seconds above 0, 3162240000 at most, or null",
        ),
        ({"tries": 10}, "tries must be a whole number from 1 to 9, not 10"),
        ({"tries": None}, "tries must be a whole number from 1 to 9, not null"),
        ({"grays": 1}, "audit_log, grace, tries"),
    ):
        with pytest.raises(Invalid) as refused:
            change(body)
        assert sentence in str(refused.value)


def test_a_new_row_has_a_form_in_redis_and_a_default_in_lua() -> None:
    """Both follow from its type."""
    row = {row.name: row for row in rows_of(Wider)}
    assert render(row["grace"], 1.5) == "1500"
    assert parse(row["grace"], "") is None
    assert parse(row["tries"], "7") == 7
    assert "  grace = '5000',\n  tries = '3',\n}" in lua_defaults(rows_of(Wider))


def test_a_new_row_has_a_schema() -> None:
    """The document shows type, bounds and meaning."""
    _, found = msgspec.json.schema_components([change_of(Wider)])
    shown = found["PolicyChange"]["properties"]["tries"]
    assert shown == {"description": "how often", "type": "integer", "minimum": 1, "maximum": 9}


def test_a_new_row_is_on_the_page_and_in_the_client() -> None:
    """`make generate` writes it into both."""
    rows = rows_of(Wider)
    assert "    grace: float | None\n    tries: int\n" in generate.client_types(rows)
    table = generate.page_table(rows)
    assert "| `grace` | seconds, null | 5 | how long to wait |\n" in table
    assert "| `tries` | 1 to 9 | 3 | how often |\n" in table


def test_a_type_nobody_writes_yet_stops_the_generator() -> None:
    """A row of a new type is not written as another."""
    row = ROWS[0]._replace(kind=msgspec.inspect.BytesType())
    with pytest.raises(TypeError, match="patience"):
        generate.client_types([row])


def test_what_is_generated_is_up_to_date() -> None:
    """The client's types and the page are what `make generate` would write now."""
    assert generate.TYPES.read_text() == generate.client_types()
    page = generate.PAGE.read_text()
    assert generate.page_table() in page
    assert page == generate.page(page)


def test_every_row_says_what_it_means() -> None:
    """The page has no empty cell."""
    assert all(row.meaning for row in ROWS)
    assert (
        [row.name for row in ROWS] == list(Policy.__slots__) == list(PolicyChange.__struct_fields__)
    )
