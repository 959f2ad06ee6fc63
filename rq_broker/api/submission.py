"""Validation at the edge: from the body of a submit to the frozen Submission.

Everything behind the edge trusts its types. Fields that are not known are ignored, as the original
did. The bodies that change something are read in bodies.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from rq_broker.domain import exact_json as jsontext
from rq_broker.domain.capacity import MAX_WHOLE
from rq_broker.domain.errors import Invalid
from rq_broker.domain.jobs import Demand, Shape, Submission
from rq_broker.domain.validation import amounts, flag, name, obj, show, text, whole
from rq_broker.egress.callback import destination
from rq_broker.egress.rules import Egress

_TYPE_BYTES = 64
_CALLBACK_BYTES = 2048
_INSTANCES = 1000
_ONE_SLOT = ((("Slots", 1),),)


def type_name(value: str) -> str:
    """Check the name of a type, as the path gives it."""
    # A long name is refused before the cache could keep it.
    return _type_name(value) if len(value) <= _TYPE_BYTES else name(value, "type", _TYPE_BYTES)


@lru_cache(1024)
def _type_name(value: str) -> str:
    if "\ufffd" in value:
        raise Invalid("type must be percent-encoded UTF-8")
    return name(value, "type", _TYPE_BYTES, "/{}")


# Submission


def submission(
    body: Any, callback_base: str | None = None, egress: Egress | None = None
) -> Submission:
    """Read the body of a submit; with `egress`, refuse a callback that could never be dialled."""
    fields = obj(body, "the body")
    owner_id = text(fields.get("owner_id"), "owner_id", 255)
    callback = text(fields.get("callback"), "callback", _CALLBACK_BYTES)
    data = obj(fields.get("data"), "data")
    priority = fields.get("priority")
    return Submission(
        request_id=name(fields.get("request_id"), "request_id"),
        owner_id=owner_id,
        data=jsontext.dumps(data),
        callback=callback,
        shape=Shape(demand(data), owner_id, destination(callback, callback_base, egress)),
        priority=None if priority is None else whole(priority, "priority", -MAX_WHOLE),
    )


def demand(data: Mapping[str, Any]) -> Demand:
    """Read what a job needs out of its data: `instances`, `host_aggregate` and `spread`."""
    aggregate, spread = data.get("host_aggregate"), data.get("spread")
    return Demand(
        _instances(data.get("instances")),
        text(aggregate, "data.host_aggregate", 255) if aggregate not in (None, "") else None,
        spread is not None and flag(spread, "data.spread"),
    )


def _instances(value: Any) -> tuple[tuple[tuple[str, int], ...], ...]:
    if value is None:
        return _ONE_SLOT
    if type(value) is not list:
        raise Invalid(f"data.instances must be a list, not {show(value)}")
    if not 1 <= len(value) <= _INSTANCES:
        raise Invalid(f"data.instances must name 1 to {_INSTANCES} instances, not {len(value)}")
    found, everything = [], 0
    for number, instance in enumerate(value):
        wanted = amounts(instance, f"data.instances[{number}]")
        everything += sum(wanted.values())
        pairs = sorted(wanted.items())
        found.append(tuple(pairs if all(wanted.values()) else (pair for pair in pairs if pair[1])))
    if everything > MAX_WHOLE:
        _check_totals(found)
    return tuple(found)


def _check_totals(instances: Iterable[tuple[tuple[str, int], ...]]) -> None:
    total: Counter[str] = Counter()
    for pairs in instances:
        total.update(dict(pairs))
    for resource, amount in total.items():
        if amount > MAX_WHOLE:
            raise Invalid(f"data.instances need {amount} {resource} in all, over 2^53−1")
