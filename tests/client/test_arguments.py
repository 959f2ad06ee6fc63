"""The client's types name the fields that the API takes."""

from __future__ import annotations

from typing import get_type_hints

import pytest
from msgspec import Struct

from rq_broker.api.bodies import Update
from rq_broker.api.submit import Submit
from rq_broker.client import arguments
from rq_broker.domain.capacity import NewHost


@pytest.mark.parametrize(
    ("hints", "body", "others"),
    [
        (arguments.NewJob, Submit, set()),
        (
            arguments.HostFields,
            NewHost,
            {"name", "held", "free", "in_transit", "dropped", "source", "devices"},
        ),
        (arguments.Place, Update, {"status", "fence", "error", "servers", "expected"}),
        (
            arguments.StatusDetails,
            Update,
            {"status", "priority", "before", "after", "position", "expected"},
        ),
    ],
)
def test_a_type_has_the_fields_of_the_body(
    hints: type[object], body: type[Struct], others: set[str]
) -> None:
    """What the API takes the client can send; computed fields and other kinds of change aside."""
    assert set(get_type_hints(hints)) == set(body.__struct_fields__) - others
