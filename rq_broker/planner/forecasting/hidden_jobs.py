"""The waiting jobs a snapshot counts but does not show, imagined where they probably stand."""

from __future__ import annotations

from dataclasses import replace

from rq_broker.domain.planning import Head, Snapshot, WaitingShape

MAX_HIDDEN = 5000
"""Hidden jobs added at most, in all shapes together: bounds the memory and time of a forecast. The
turn of a job behind more than that is said to be too far away."""


def with_hidden_jobs(snapshot: Snapshot, digest: str, index: int) -> Snapshot:
    """Show the hidden jobs that may go before the job at an index of the shape `digest`.

    They are spaced, in priority and ID, as the shown jobs of their shape are.
    """
    target_shape = next((shape for shape in snapshot.waiting if shape.digest == digest), None)
    if target_shape is None or not target_shape.heads:
        return snapshot
    target = _head_at(target_shape, index)
    left, filled = MAX_HIDDEN, list[WaitingShape]()
    for waiting in snapshot.waiting:
        heads = list(waiting.heads)
        while heads and len(heads) < waiting.count and left:
            head = _head_at(waiting, len(heads))
            if (head.priority, head.id) > (target.priority, target.id):
                break
            heads.append(head)
            left -= 1
        filled.append(replace(waiting, heads=tuple(heads), count=len(heads)))
    return replace(snapshot, waiting=tuple(filled))


def _head_at(waiting: WaitingShape, index: int) -> Head:
    """Return the job at an index of its shape; a hidden one as the shown ones' spacing suggests."""
    heads = waiting.heads
    if index < len(heads):
        return heads[index]
    first, last, beyond = heads[0], heads[-1], index - len(heads) + 1
    steps = max(len(heads) - 1, 1)
    return Head(
        last.id + beyond * max((last.id - first.id) // steps, 1),
        f"{waiting.digest}#{index}",
        last.priority + beyond * ((last.priority - first.priority) // steps),
    )
