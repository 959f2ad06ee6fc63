"""Schemathesis: requests made up from the API document get answers that the document allows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from starlette.applications import Starlette

from rq_broker.api import create_app
from rq_broker.api.operations import OPERATIONS
from rq_broker.api.roles import PUBLIC
from rq_broker.domain.identity import Identity, Role
from rq_broker.store.broker import Broker
from rq_broker.store.connection import in_memory
from tests.api.conftest import BASE
from tests.api.tenants import WhoHeader

EXAMPLES = 2
"""Requests made up for each operation. With 20, as tried by hand, nothing else was found."""


@pytest.fixture(scope="module")
def app() -> Starlette:
    broker = Broker(in_memory())
    asyncio.run(broker.set_policy("vm", {}))
    broker.events.close()  # so that streams end behind what there is
    who = WhoHeader(Identity("admin", Role.ADMIN))
    return create_app(broker, callback_base=BASE, inbox=True, authenticators=[who])


def ask(operation: Any, who: str | None, refused: Callable[[int], bool]) -> None:
    """Make up requests for an operation, and check each answer against the document."""
    from schemathesis.checks import CHECKS  # noqa: PLC0415 - takes a second, which no other test needs

    unexpressed = [CHECKS.get_one("positive_data_acceptance")]  # test_openapi has a finer one
    headers = {} if who is None else {"X-Who": who}

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def one(case: Any) -> None:
        answer = case.call(headers=headers)
        case.validate_response(answer, excluded_checks=unexpressed)
        assert not refused(answer.status_code), answer.text

    one()


@pytest.mark.parametrize("who", ["admin", None])
def test_made_up_requests_get_answers_of_the_document(app: Starlette, who: str | None) -> None:
    """No answer has a status, a type or a body that is not described, nor is it a fault; without
    an identity every call but the public ones is refused."""
    import schemathesis  # noqa: PLC0415 - as above

    schema: Any = schemathesis.openapi.from_asgi("/openapi.json", app, headers={"X-Who": "admin"})
    names = []
    for found in schema.get_all_operations():
        operation = found.ok()
        name = operation.definition.raw["operationId"]
        names.append(name)
        if who is None and OPERATIONS[name].access is not PUBLIC:
            ask(operation, who, lambda status: status not in (400, 401))
        else:
            ask(operation, who, lambda status: status == 401)
    assert OPERATIONS.keys() - {*names} == {"openapi"}  # it is read to make the others up
