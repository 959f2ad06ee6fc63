"""The submit of an array: places for the number of a job, and what the jobs need.

In the callback and in the strings of `data`, keys aside, `{n}` is the number of a job, from 0.
`{{n}}` stands for the text `{n}`. All other braces stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import count as numbers_from
from typing import Any

from rq_broker.api.data import Data, demand_of
from rq_broker.domain import exact_json
from rq_broker.domain.arrays import STEP, Template, job_name
from rq_broker.domain.decoding import convert
from rq_broker.domain.errors import Invalid
from rq_broker.domain.jobs import Demand
from rq_broker.domain.offers import OFFER
from rq_broker.domain.validation import NAME, Text
from rq_broker.egress.callback import destination
from rq_broker.egress.rules import Egress

MOST_STEP_BYTES = 8 << 20
"""Bytes of `data` that one step stores: Redis takes some 10 ms for as many."""
MOST_SHAPES = STEP
"""Jobs of an array whose demands or destinations differ: each is a shape that the planner tries."""
_PLACES = re.compile(r"\{\{n\}\}|\{n\}")
_CONSTANT = re.compile(r"[^/]*//[^/?#]+[/?#].*", re.DOTALL)
"""The beginning of a callback that has its scheme, host and port already."""


NO_CALLBACK = Template(("",))
"""The callback of an array whose jobs have none."""


def template(text: str) -> Template:
    """Split a text at its places for the number.

    >>> template("a{n}b{{n}}").pieces
    ('a', 'b{n}')
    """
    pieces, end = [""], 0
    for match in _PLACES.finditer(text):
        pieces[-1] += text[end : match.start()]
        if match[0] == "{n}":
            pieces.append("")
        else:
            pieces[-1] += "{n}"
        end = match.end()
    pieces[-1] += text[end:]
    return Template(tuple(pieces))


def data_template(data: Any) -> Template:
    """Render `data` as canonical JSON, with places for the number in its strings."""
    text = exact_json.dumps(data)
    marks = (f"\ue000{number}\ue001" for number in numbers_from())
    mark = next(mark for mark in marks if mark not in text)
    return Template(tuple(exact_json.dumps(_filled(data, mark)).split(mark)))


def _filled(value: Any, number: object) -> Any:
    """Return a JSON value with something put for the number in all strings but keys."""
    if isinstance(value, str):
        return str(number).join(template(value).pieces)
    if isinstance(value, list):
        return [_filled(element, number) for element in value]
    if isinstance(value, Mapping):
        return {key: _filled(element, number) for key, element in value.items()}
    return value


def check_sizes(name: str, count: int, data: Template, callback: Template, rule: Text) -> None:
    """Raise Invalid where the last job's name or callback, or all jobs' data, are too long."""
    last = count - 1
    NAME.check(job_name(name, last), "request_id")
    if callback != NO_CALLBACK:
        rule.check(callback.fill(last), "callback")
    if count > 1 and not callback.is_numbered and callback != NO_CALLBACK:
        raise Invalid("callback must contain {n} with count: each job has a callback of its own")
    size, jobs = len(data.fill(last).encode(errors="replace")), min(count, STEP)
    if size * jobs > MOST_STEP_BYTES:
        most = MOST_STEP_BYTES // jobs
        raise Invalid(f"data must not be longer than {most} bytes with this count, not {size}")


def demands(data: Mapping[str, Any], first: Demand, count: int) -> list[Demand]:
    """Return the demand of all jobs, or that of each where the number is part of it."""
    needed = {name: data[name] for name in Data.__struct_fields__ if name in data}
    if "{n}" not in exact_json.dumps(needed):
        return [first]
    _check_shapes("what a job needs has {n} in it", count)
    return [demand_of(convert(_filled(needed, number), Data, "data")) for number in range(count)]


def destinations(
    callback: Template, count: int, callback_base: str | None, egress: Egress | None
) -> list[str]:
    """Return the destination of all callbacks, or that of each where the number is part of it."""
    if callback == NO_CALLBACK:
        return [OFFER]
    is_relative = "//" not in "".join(callback.pieces)
    if is_relative or _CONSTANT.fullmatch(callback.pieces[0]):
        return [destination(callback.fill(count - 1), callback_base, egress)]
    _check_shapes("the callback's host or port has {n} in it", count)
    return [destination(callback.fill(n), callback_base, egress) for n in range(count)]


def _check_shapes(why: str, count: int) -> None:
    if count > MOST_SHAPES:
        raise Invalid(f"count must be at most {MOST_SHAPES} where {why}, not {count}")
