"""The JSON objects that say what a move of a waiting job does, or would do."""

from __future__ import annotations

from typing import Annotated, Self

from msgspec import Meta

from rq_broker.admission.move_preview import MovePreview
from rq_broker.domain.names import request_id_in
from rq_broker.domain.representation import Converted, Count, EtaView, JsonObject, Number
from rq_broker.store.broker import Moved

MOST_MOVES = 50
"""Jobs that a preview lists: more than anybody reads before a decision."""

OtherJob = Annotated[
    str | None,
    Meta(description="null: another owner's, which is not named to you."),
]


def _request_id(name: str) -> str | None:
    return request_id_in(name) or None


def _or_none(name: str) -> str | None:
    return name or None


class MoveView(JsonObject, frozen=True):
    """A job whose ETA a move changes."""

    request_id: Annotated[OtherJob, Converted(_request_id)]
    owner_id: Annotated[
        str | None,
        Meta(description="Its owner; null for none, and for one that is not named to you."),
        Converted(_or_none),
    ]
    before: Annotated[EtaView, Converted(EtaView.of)]
    after: Annotated[EtaView, Converted(EtaView.of)]
    seconds: Annotated[float | None, Meta(description="after − before, of the p50.")]


_Place = Annotated[Number, Meta(description="A place in the queue, 1 is next.")]
_LineVersion = Annotated[
    str, Meta(description="Version of the line; in quotes it is for `If-Match` of a move.")
]


class MovesView(JsonObject, frozen=True):
    """What a move would do. Nothing was moved."""

    moves: Annotated[
        list[MoveView],
        Meta(
            description="The moved job, then those between its two places, the largest change "
            f"first; {MOST_MOVES} at most, and of a long line a sample."
        ),
    ]
    position: Annotated[_Place, Meta(description="The place that it would have.")]
    was: Annotated[_Place, Meta(description="The place that it has.")]
    later: Annotated[Count, Meta(description="How many jobs between would start later.")]
    sooner: Count
    same: Annotated[
        Count, Meta(description="How many start when they would anyway, within a second and 5 %.")
    ]
    unknown: Annotated[Count, Meta(description="How many have no forecast.")]
    line: Annotated[
        _LineVersion, Meta(description="Move by it, and the move does this or is refused.")
    ]


def moves_view(preview: MovePreview) -> MovesView:
    """Build the view of a preview."""
    counts, moved = preview.counts, preview.moved
    return MovesView(
        [MoveView.of(change) for change in preview.changes[:MOST_MOVES]],
        moved.position or 0,
        moved.was or 0,
        counts["later"],
        counts["sooner"],
        counts["same"],
        counts["unknown"],
        moved.line,
    )


class UndoView(JsonObject, frozen=True):
    """What moves a job back: `{"position": …}`, with `line` in `If-Match`."""

    position: _Place
    line: _LineVersion


class MovedView(JsonObject, frozen=True):
    """What a move has done."""

    position: Annotated[_Place, Meta(description="The place that the job has now.")]
    was: Annotated[_Place, Meta(description="The place that it had.")]
    line: _LineVersion
    undo: UndoView

    @classmethod
    def of(cls, value: object) -> Self:
        """Build the view of a move that was made."""
        assert isinstance(value, Moved)
        was = value.was or 0
        return cls(value.position or 0, was, value.line, UndoView(was, value.undo or value.line))
