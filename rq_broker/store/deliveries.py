"""What courier and janitor do: claim, settle, sweep; and what operators see of destinations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from rq_broker.domain import errors
from rq_broker.domain.deliveries import Attempt, Delivery, Destination
from rq_broker.domain.jobs import Status
from rq_broker.store import records
from rq_broker.store.jobs import Jobs
from rq_broker.store.keys import Keys
from rq_broker.store.runner import Runner

Health = Literal["healthy", "unhealthy", ""]


@dataclass(frozen=True, slots=True)
class Settlement:
    """What came of one attempt. `outcome` is delivered, retry, failed, or release (untried)."""

    outcome: str
    cause: str = ""
    milliseconds: int = 0
    delay: float = 0.0
    """Seconds until the next attempt, for retry."""
    health: Health = ""
    """What the attempt shows of its destination: healthy, unhealthy, or '' for neither."""
    slow_down: float = 0.0
    """Seconds for which the destination takes one callback at a time, as it asked."""


class Deliveries:
    """Claim, settle, sweep, attempts, destinations, signing keys."""

    def __init__(self, runner: Runner, jobs: Jobs) -> None:
        self._runner = runner
        self._jobs = jobs

    async def claim(
        self, type_: str, lease: float, limit: int, unproven: int | None = None
    ) -> tuple[float | None, list[Delivery]]:
        """Take callbacks that are due, for `lease` seconds; also seconds until the next is due.

        At most `unproven` of them go to destinations that are not known to be prompt.
        """
        most = limit if unproven is None else unproven
        wait, *found = await self._runner.run("claim", type_, round(lease * 1000), limit, most)

        def delivery(entry: Sequence[Any]) -> Delivery:
            prompt, attempt, priority, request_id, keys, fields = entry
            job = records.job(type_, request_id, priority, "", fields)
            return Delivery(job, int(attempt), tuple(keys.split()), unproven=not prompt)

        claimed = records.readable(delivery, found)
        took_room = len(claimed) < len(found)  # those that cannot be read, of others that are due
        return 0.0 if took_room else _seconds(wait), claimed

    async def settle(self, type_: str, went: Iterable[tuple[Delivery, Settlement]]) -> list[str]:
        """Say how deliveries went, at most 100.

        Returns for each the job's status now, or STALE when it came too late.
        """
        flat = [text for delivery, came in went for text in _settled(delivery, came)]
        settled: list[str] = await self._runner.run("settle", type_, *flat)
        return settled

    async def sweep(self, type_: str, limit: int = 100) -> tuple[float | None, int]:
        """Let expire what is over; returns seconds until the next deadline, and how many went."""
        wait, moved, *over = await self._runner.run("sweep", type_, limit)
        gone = 0
        for request_id in over[::2]:
            with suppress(errors.JobNotFound):  # another janitor was first
                gone += await self._jobs.remove(type_, request_id, only_if_over=True)
        return _seconds(wait), int(moved) + gone

    async def attempts(self, type_: str, request_id: str) -> list[Attempt]:
        """List what came of each attempt to call a job back, oldest first, the newest ~100."""
        await self._jobs.read(type_, request_id)
        entries = await self._runner.command(
            "XRANGE", Keys(type_).of("attempts", request_id), "-", "+"
        )
        return [records.attempt(entry) for entry in entries]

    async def destinations(self, type_: str, limit: int = 1000) -> tuple[bool, list[Destination]]:
        """List destinations; first, whether most fail at once, which is then a fault of ours.

        At most `limit`: those whose breaker is open, then by their last grant or trouble.
        """
        now, outage, *found = await self._runner.run("destinations", type_, limit)
        return bool(outage), [records.destination(int(now), entry) for entry in found]

    async def reset(self, type_: str, destination: str) -> None:
        """Close a destination's breaker by hand."""
        await self._runner.run("reset", type_, destination)

    async def requeue(self, type_: str, destination: str) -> int:
        """Put every job back in line whose callbacks to this destination failed; how many."""
        count, cursor = 0, None
        while True:
            page = await self._jobs.page(type_, status=Status.ERROR, after=cursor)
            for job in page.jobs:
                if job.destination == destination and job.status is Status.ERROR:
                    with suppress(errors.JobNotFound, errors.Conflict):  # it moved meanwhile
                        await self._jobs.transition(
                            type_, job.request_id, Status.QUEUED, fence=job.fence
                        )
                        count += 1
            cursor = page.next
            if cursor is None:
                return count

    async def set_keys(self, type_: str, owner: str, keys: Sequence[str]) -> None:
        """Set the signing keys of an owner, or of `*`; the newest first, none to sign no more."""
        await self._runner.run("set_keys", type_, owner, " ".join(keys))

    async def keys(self, type_: str) -> dict[str, tuple[str, ...]]:
        """Read the signing keys: owner or `*` → keys."""
        found = records.pairs(await self._runner.command("HGETALL", Keys(type_).of("keys")))
        return {owner: tuple(text.split()) for owner, text in found.items()}


def _settled(delivery: Delivery, came: Settlement) -> tuple[Any, ...]:
    job = delivery.job
    return (
        job.request_id,
        job.id,
        job.fence,
        delivery.attempt,
        came.outcome,
        round(came.delay * 1000),
        came.cause,
        came.milliseconds,
        job.destination,
        came.health,
        round(came.slow_down * 1000),
    )


def _seconds(milliseconds: str) -> float | None:
    return int(milliseconds) / 1000 if milliseconds else None
