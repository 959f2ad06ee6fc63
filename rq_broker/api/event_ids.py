"""The IDs of a stream of several types: each names the place in every type, so none is missed.

An ID is a list of `<type>:<entry>`, the type as 8 characters of its digest: names are longer, and
may hold any character, while IDs go through headers.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256

from rq_broker.domain.errors import Invalid
from rq_broker.domain.events import Event
from rq_broker.domain.validation import rejected
from rq_broker.store.event_types import MOST_TYPES

_DIGEST_BYTES = 6
"""With 200 types two of them have one digest in one of 10¹⁰ installations."""
_FROM_THE_BEGINNING = "0"
_PLACE = r"[\w-]{8}:[0-9]{1,15}(-[0-9]{1,15})?"
PATTERN = rf"^(0|({_PLACE}(,{_PLACE}){{0,{MOST_TYPES - 1}}})?)$"
_ID = re.compile(PATTERN, re.ASCII)


class Places:
    """Where a stream is in each of its types."""

    def __init__(self, starts: Mapping[str, str]) -> None:
        """Take the places of its types by now; '' is before the first event."""
        self._places: dict[str, str] = {}
        for type_, entry in starts.items():
            self.put(type_, entry)

    @property
    def id(self) -> str:
        """The ID of an event after which the stream is here."""
        return ",".join(self._places.values())

    def put(self, type_: str, entry: str) -> None:
        """Move on in a type; '' is before its first event."""
        self._places[type_] = f"{_digest(type_)}:{entry or _FROM_THE_BEGINNING}"

    def pass_by(self, event: Event) -> str:
        """Move on behind an event, and return the ID of the place."""
        if event.id:
            self.put(event.type, event.id)
        return self.id

    def keep(self, types: Mapping[str, str]) -> None:
        """Forget the types that are not among these."""
        for type_ in self._places.keys() - types.keys():
            del self._places[type_]


class Seen:
    """What a client has seen of each type, by the ID of its last event. Raises Invalid."""

    def __init__(self, last: str) -> None:
        if not _ID.fullmatch(last):
            raise Invalid(f"last_event_id must be an id of this stream's events{rejected(last)}")
        self.is_new = not last
        """Whether it has seen nothing, so that it gets what comes from now on."""
        self._is_all = last == _FROM_THE_BEGINNING
        pairs = (each.partition(":")[::2] for each in last.split(","))
        self._entries = dict(pairs)

    def of(self, type_: str) -> str | None:
        """Return the last entry seen of a type, '' before the first; None: it was no part of it."""
        entry = "" if self._is_all else self._entries.get(_digest(type_))
        return "" if entry == _FROM_THE_BEGINNING else entry


@lru_cache(4 * MOST_TYPES)
def _digest(type_: str) -> str:
    return urlsafe_b64encode(sha256(type_.encode()).digest()[:_DIGEST_BYTES]).decode()
