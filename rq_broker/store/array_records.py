"""How arrays and their submits are written for the scripts, and read from their replies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from msgspec.structs import replace

from rq_broker.domain.arrays import STEP, Array, ArraySubmission
from rq_broker.domain.jobs import Shape, Status
from rq_broker.domain.terms import AtOnce
from rq_broker.store import records
from rq_broker.store.keys import callback_digest, digest, fold


def submission_digest(new: ArraySubmission) -> str:
    """Digest all that a submit of an array says, but for its name and its key."""
    terms = new.terms
    parts = [
        new.owner_id,
        new.count,
        new.at_once,
        new.data.pieces,
        new.callback.pieces,
        new.priority,
        new.expected,
        terms and (records.terms_pairs(terms), terms.after),
    ]
    return digest(orjson.dumps(parts).decode())


def stored_submission(new: ArraySubmission, name: str) -> ArraySubmission:
    """Return the submission with the name by which the type knows the array."""
    if name == new.name:
        return new
    at_once = AtOnce(name, new.at_once) if new.at_once else None
    shapes = tuple(replace(shape, at_once=at_once) for shape in new.shapes)
    return replace(new, name=name, shapes=shapes)


def job_rows(
    new: ArraySubmission, indexes: range, numbers: dict[Shape, int], *, only_check: bool
) -> Iterator[Mapping[str, Any]]:
    """Yield what the script stores of each job; numbers the shapes from 1 as they come."""
    for index in indexes:
        callback, fields = new.callback.fill(index), list[str]()
        if not only_check:
            fields = fold("callback", callback) + fold("data", new.data.fill(index))
            fields += records.correlation_pairs(new.correlation)
        shape = numbers.setdefault(new.shape(index), len(numbers) + 1)
        callback_key = callback_digest(callback, new.name) if callback else None
        yield {"callback": callback_key, "shape": shape, "fields": fields}


def array(
    type_: str,
    name: str,
    fields: Mapping[str, str],
    counts: Mapping[Status, int],
    waiting: str | None,
) -> Array:
    """Read the record of an array."""
    count = int(fields["count"])
    stored = sum(field.startswith("first:") for field in fields)
    return Array(
        name,
        type_,
        fields["owner"],
        count,
        int(fields["created"]),
        counts,
        waiting,
        int(fields["at_once"]) if "at_once" in fields else None,
        is_complete=stored * STEP >= count,
        submission=fields["submission"],
        submit_key=fields.get("submit_key"),
    )
