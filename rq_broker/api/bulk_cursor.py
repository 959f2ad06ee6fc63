"""Where an action on many jobs goes on: the cursor in its answer."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import NamedTuple, Self

from rq_broker.domain.errors import Invalid
from rq_broker.domain.validation import MAX_WHOLE, show
from rq_broker.store.broker import Cursor


class ActionCursor(NamedTuple):
    """The last job that was looked at; and of a move, where the jobs go."""

    after: Cursor | None
    target: int | None = None
    """The priority of the next job that moves."""
    until: int | None = None
    """The last priority that the queue had at the first call."""

    def text(self) -> str:
        """Encode the cursor for clients."""
        numbers = [*_of(self.after), *(str(number) for number in self[1:] if number is not None)]
        return urlsafe_b64encode(",".join(numbers).encode()).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str | None) -> Self:
        """Decode a cursor; without a text the beginning. Raises Invalid."""
        if not text:
            return cls(None)
        try:
            decoded = urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode().split(",")
            priority, id_, *move = map(int, decoded)
            is_known = len(move) in (0, 2) and max(map(abs, (priority, id_, *move))) <= MAX_WHOLE
            if is_known and id_ > 0:
                return cls(Cursor(str(priority), str(id_)), *move)
        except ValueError:
            pass
        raise Invalid(f"cursor must be the `next` of an earlier answer, not {show(text)}")


def _of(after: Cursor | None) -> list[str]:
    return [after.priority, after.id] if after else []
