"""The client's types name the fields that the API takes."""

from __future__ import annotations

from typing import get_type_hints

import pytest
from msgspec import Struct

from rq_broker.api.added_hosts import HostsForecast
from rq_broker.api.bodies import MoveForecast, NewJobForecast, Update
from rq_broker.api.submit import Submit
from rq_broker.client import arguments
from rq_broker.domain.capacity import NewHost

OF_A_HOLD = {"request_id", "data", "callback", "hold_at_most", "count", "at_once"}
"""Fields of a submit that a hold sets itself, or that make several jobs."""


@pytest.mark.parametrize(
    ("hints", "body", "others"),
    [
        (arguments.NewJob, Submit, set()),
        (arguments.HoldTerms, Submit, OF_A_HOLD),
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


def test_a_proposal_has_the_fields_of_each_body() -> None:
    """A what-if through the client says all that the API takes: a new job, a move, more hosts."""
    bodies = (NewJobForecast, MoveForecast, HostsForecast)
    fields = {field for body in bodies for field in body.__struct_fields__}
    assert set(get_type_hints(arguments.Proposal)) == fields
