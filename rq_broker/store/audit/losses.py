"""Notes what Redis is known to have lost of a type, and what cannot be known since then."""

from __future__ import annotations

from datetime import UTC, datetime

from rq_broker.domain.jobs import HOLDING
from rq_broker.store import records
from rq_broker.store.audit.walk import Walk
from rq_broker.store.keys import job_of


async def check_losses(walk: Walk) -> None:
    """Note each loss that no operator acknowledged, and the jobs that may have ended with it."""
    flat = records.pairs(await walk.client.hgetall(walk.keys.of("lost")))
    lost = [(incarnation, *text.split(" ")) for incarnation, text in flat.items()]
    told = [row for row in lost if len(row) == 6 and row[1].isdigit()]
    if told:
        await _note_old_grants(walk)
    for incarnation, when, *numbers in told:
        noticed = datetime.fromtimestamp(int(when) / 1000, UTC).isoformat(timespec="seconds")
        last_id, id_there, last_fence, fence_there = numbers
        walk.note(
            f"state {incarnation}",
            f"was lost in part, as was noticed at {noticed}: IDs up to {last_id} were given and"
            f" Redis had {id_there}, fences up to {last_fence} and it had {fence_there}; jobs"
            " and updates in between may be gone, and jobs may run that Redis does not know",
        )


async def _note_old_grants(walk: Walk) -> None:
    """Note the jobs that hold capacity by a grant from before a loss."""
    life = await walk.client.hget(walk.keys.base, "incarnation")
    for status in HOLDING:
        async for page in walk.pages("ZSCAN", f"status:{status}"):
            members = [member for member, _ in page]
            names = [walk.keys.of("job", job_of(member)[1]) for member in members]
            lives = await walk.pipeline(("HGET", name, "incarnation") for name in names)
            for member, granted_in in zip(members, lives, strict=True):
                if granted_in != life:
                    walk.note(
                        f"job {member}",
                        f"is {status} by a grant from before Redis lost state: its client may have"
                        " ended it since, which only the client knows",
                    )
