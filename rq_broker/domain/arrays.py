"""Arrays: many jobs of one submit, `name[0]` to `name[count − 1]`, that can be handled as one.

`name[*]` names the array as a whole. Its jobs are jobs like any other.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from rq_broker.domain.correlation import Correlation
from rq_broker.domain.jobs import Shape, Status
from rq_broker.domain.names import request_id_in
from rq_broker.domain.terms import Terms

MOST_JOBS = 10_000
"""Jobs of one array: ten steps. Each waits like any other, so a forecast still shows the line."""
STEP = 1000
"""Jobs that one atomic step stores. Redis serves nobody else for some 10 ms meanwhile; with more,
others wait longer, with fewer a large array takes more steps."""
WHOLE = "[*]"
"""The end of a request_id that names an array as a whole."""


def array_of(request_id: str) -> str | None:
    """Return the name of the array that a request_id stands for as a whole; None if for none.

    >>> array_of("sweep[*]"), array_of("sweep[7]")
    ('sweep', None)
    """
    name = request_id.removesuffix(WHOLE)
    return name if name and name != request_id else None


def whole(name: str) -> str:
    """Return the request_id that stands for an array as a whole: `whole("sweep")` → `sweep[*]`."""
    return name + WHOLE


def job_name(name: str, index: int) -> str:
    """Return the request_id of one job of an array: `job_name("sweep", 7)` → `sweep[7]`."""
    return f"{name}[{index}]"


class Template(Struct, frozen=True):
    """A text with places for a job's number."""

    pieces: tuple[str, ...]

    def fill(self, index: int) -> str:
        """Return the text with the number at all its places."""
        return str(index).join(self.pieces)

    @property
    def is_numbered(self) -> bool:
        """Whether it has a place for the number."""
        return len(self.pieces) > 1


class ArraySubmission(Struct, frozen=True):
    """A valid submit of an array, ready for Broker.submit_array."""

    name: str
    owner_id: str
    count: int
    data: Template
    """The client's data as canonical JSON."""
    callback: Template
    """Empty for none; then the destination of each shape is OFFER."""
    shapes: tuple[Shape, ...]
    """One of all jobs, or one of each where the number is part of what they need."""
    priority: int | None = None
    expected: float | None = None
    """Seconds each says it will hold."""
    terms: Terms | None = None
    at_once: int | None = None
    correlation: Correlation | None = None
    """As of Submission."""

    def shape(self, index: int) -> Shape:
        """Return the shape of one job."""
        return self.shapes[index if len(self.shapes) > 1 else 0]


class Array(Struct, frozen=True):
    """An array and what has become of its jobs. Times are µs since 1970."""

    name: str
    """By which the type knows it, see `names`."""
    type: str
    owner_id: str
    count: int
    """Jobs that its submit asked for."""
    created: int
    counts: Mapping[Status, int]
    """Status → jobs of it that are there; those withdrawn, and those forgotten after their
    retention, are not."""
    waiting: str | None = None
    """request_id of the first job that waits, by number."""
    at_once: int | None = None
    is_complete: bool = True
    """False while its submit is not stored to the end; a repetition goes on with it."""
    submission: str = ""
    """Digest of its submit."""
    submit_key: str | None = None
    """Digest of the owner and the idempotency key of its submit."""
    capacity_number: str = ""
    """Set only by submit_array: the number of the type's last change of capacity."""
    replayed: bool = False
    """Set only by submit_array: whether an earlier submit with the same key stored it."""

    def has(self, request_id: str) -> bool:
        """Return whether one of its jobs may have this name."""
        name = request_id_in(self.name)
        number = request_id.removeprefix(f"{name}[").removesuffix("]")
        return number.isdecimal() and request_id == job_name(name, int(number))

    @property
    def request_id(self) -> str:
        """The request_id that stands for it as a whole."""
        return whole(request_id_in(self.name))
