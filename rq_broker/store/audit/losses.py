"""Notes what Redis is known to have lost of a type; which jobs that were cannot be known."""

from __future__ import annotations

from datetime import UTC, datetime

from rq_broker.store import records
from rq_broker.store.audit.walk import Walk


async def check_losses(walk: Walk) -> None:
    """Note each loss that a process reported, see lua/report_loss.lua."""
    lost = records.pairs(await walk.client.hgetall(walk.keys.of("lost")))
    for incarnation, text in lost.items():
        when, *numbers = text.split(" ")
        if not when.isdigit() or len(numbers) != 4:
            continue
        noticed = datetime.fromtimestamp(int(when) / 1000, UTC).isoformat(timespec="seconds")
        last_id, id_there, last_fence, fence_there = numbers
        walk.note(
            f"state {incarnation}",
            f"was lost in part, as was noticed at {noticed}: IDs up to {last_id} were given and"
            f" Redis had {id_there}, fences up to {last_fence} and it had {fence_there}; jobs"
            " and updates in between may be gone, and jobs may run that Redis does not know",
        )
