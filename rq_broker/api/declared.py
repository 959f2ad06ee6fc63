"""Refuses what a request says beyond the row of its operation: nobody would heed it.

A misspelt `owner_id` of a withdrawal would delete another owner's job, and a change that was to be
made only `If-Match` would be made in any case.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from starlette.datastructures import QueryParams
from starlette.routing import Route
from starlette.types import Scope

from rq_broker.api import roles
from rq_broker.api.browser_guard import SAFE_METHODS
from rq_broker.api.operations import OPERATIONS
from rq_broker.api.operations.row import Operation, Parameter
from rq_broker.domain.errors import Invalid
from rq_broker.domain.validation import refuse_unknown, show

_CONDITIONS = {b"if-match": "If-Match", b"if-none-match": "If-None-Match"}
"""Headers by which a client wants a change to be made only in some case."""


def checker(route: Route) -> Callable[[Scope], None]:
    """Return what raises Invalid for a request to a route that its row does not describe.

    Probes, metrics and what needs no identity take any query: links and monitors add some. Reads
    take any condition: at worst the answer has what the client knew.
    """
    if not route.include_in_schema or is_lenient(OPERATIONS[route.name]):
        return lambda _: None
    row = OPERATIONS[route.name]
    changes = not SAFE_METHODS.issuperset(route.methods or ())

    def check(scope: Scope) -> None:
        if scope["query_string"]:
            _check_query(scope["query_string"], row.query)
        if changes:
            _check_conditions(scope, row.condition)

    return check


def is_lenient(row: Operation) -> bool:
    """Tell whether an operation takes what its row does not have."""
    return row.access is roles.PUBLIC or row.access is roles.SURVEY


def _check_query(query_string: bytes, declared: Mapping[str, Parameter]) -> None:
    query = QueryParams(query_string)
    if query and not declared:
        name = show(next(iter(query)))
        raise Invalid(f"the query parameter {name} is not known: this call takes none")
    refuse_unknown(query, declared, "the query parameter")
    names = [name for name, _ in query.multi_items()]
    if len(query) < len(names):
        for name, parameter in declared.items():
            if names.count(name) > 1 and parameter.schema.get("type") != "array":
                raise Invalid(f"the query parameter {name} is given twice")


def _check_conditions(scope: Scope, declared: str) -> None:
    for name, _ in scope["headers"]:
        if name in _CONDITIONS and _CONDITIONS[name] != declared:
            raise Invalid(
                f"this call takes no {_CONDITIONS[name]}: it would be carried out in any case"
            )
