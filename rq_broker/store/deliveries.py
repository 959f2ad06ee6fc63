"""What courier and janitor do: claim, settle, sweep; and what operators see of destinations."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from rq_broker.domain import errors
from rq_broker.domain.deliveries import (
    GONE,
    WITHDRAWN,
    Attempt,
    Delivery,
    Destination,
    ReceiverChange,
)
from rq_broker.domain.fingerprint import fingerprint
from rq_broker.domain.jobs import Job, Status
from rq_broker.store import records
from rq_broker.store.claims import claimed
from rq_broker.store.encryption import KeyCipher
from rq_broker.store.jobs import Jobs
from rq_broker.store.keys import Keys
from rq_broker.store.names import owners_argument
from rq_broker.store.registry import Registry
from rq_broker.store.runner import Runner

Health = Literal["healthy", "unhealthy", ""]


@dataclass(frozen=True, slots=True)
class Settlement:
    """What one attempt means for its delivery and for its destination."""

    outcome: str
    """delivered, retry, failed, or release: handed back untried."""
    cause: str = ""
    """The result in a class word, as in Outcome."""
    milliseconds: int = 0
    """How long the attempt took."""
    delay: float = 0.0
    """Seconds until the next attempt, for retry."""
    health: Health = ""
    """What the attempt shows of its receiver: healthy, unhealthy, or '' for neither."""
    slow_down: float = 0.0
    """Seconds for which the receiver takes one callback at a time."""
    pause: float = 0.0
    """Seconds for which the receiver asked not to be called."""
    error: str = ""
    """The cause in words that the job keeps as its error; '' for the word itself."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of settled attempts."""

    statuses: Sequence[str]
    """The status of each job now, or STALE where the attempt does not count any more."""
    changes: Sequence[ReceiverChange]


class Deliveries:
    """Claim, settle, sweep; attempts, destinations and signing keys."""

    def __init__(self, runner: Runner, jobs: Jobs, registry: Registry, cipher: KeyCipher) -> None:
        self._runner = runner
        self._jobs = jobs
        self._registry = registry
        self._cipher = cipher
        self.decrypt_keys = cipher.decrypt

    async def claim(
        self, type_: str, lease: float, limit: int, unproven: int | None = None
    ) -> tuple[float | None, list[Delivery]]:
        """Claim callbacks that are due.

        Args:
            lease: seconds until a claimed callback is due again, unless it is settled.
            limit: how many to claim at most.
            unproven: how many of them at most to destinations not known to answer promptly; all
                where it is None.

        Returns:
            Seconds until the next callback that could be claimed is due, None if there is none;
            and the claimed deliveries.
        """
        reply = await self._runner.run(
            "claim",
            type_,
            lease=round(lease * 1000),
            limit=limit,
            unproven=limit if unproven is None else unproven,
        )

        deliveries = claimed(type_, reply.deliveries)
        # Jobs that cannot be read took the places of others that are due: claim again at once.
        unreadable = len(deliveries) < len(reply.deliveries)
        return 0.0 if unreadable else _seconds(reply.wait), deliveries

    async def settle(
        self, type_: str, settlements: Iterable[tuple[Delivery, Settlement]]
    ) -> Settled:
        """Record how claimed deliveries went, and what that shows of their receivers."""
        attempts = [_attempt(delivery, settlement) for delivery, settlement in settlements]
        reply = await self._runner.run("settle", type_, attempts=attempts)
        changes = [
            ReceiverChange(row.destination, row.owner, row.change, row.failures, row.seconds)
            for row in reply.changes
        ]
        return Settled(reply.statuses, changes)

    async def sweep(self, type_: str, limit: int = 100) -> tuple[float | None, int]:
        """End what has come to its end: offers, running times, retention.

        Returns:
            Seconds until the next deadline, None if there is none; and how many jobs were moved or
            withdrawn.
        """
        reply = await self._runner.run("sweep", type_, limit=limit)
        withdrawn = 0
        for request_id in reply.ended:
            with suppress(errors.JobNotFound):  # another janitor withdrew it
                withdrawn += await self._jobs.remove_ended(type_, request_id)
        return _seconds(reply.wait), reply.moved + withdrawn

    async def attempts(
        self, type_: str, request_id: str, owners: Collection[str] | None = None
    ) -> list[Attempt]:
        """List the attempts to call a job back, oldest first, about the newest 100.

        `owners` are as of `read`.
        """
        job = await self._jobs.read(type_, request_id, owners)
        entries = await self._runner.command(
            "XRANGE", Keys(type_).of("attempts", job.request_id), "-", "+"
        )
        return [records.attempt(entry) for entry in entries]

    async def destinations(
        self, type_: str, limit: int = 1000, owners: Collection[str] | None = None
    ) -> tuple[bool, list[Destination]]:
        """List at most `limit` destinations: open breakers first, then the latest grant or failure.

        Args:
            type_: The type.
            limit: How many.
            owners: Only those of these owners' callbacks, as far as they are among some 10,000 of
                the type; None: those of every owner.

        Returns:
            Whether most destinations fail, which is then a fault of our network; and the list.
        """
        reply = await self._runner.run(
            "destinations", type_, limit=limit, owners=owners_argument(owners)
        )
        return reply.outage, [records.destination(reply.now, row) for row in reply.destinations]

    async def reset(self, type_: str, destination: str, owner: str | None = None) -> None:
        """Close a destination's breakers and end its pauses by hand, of one owner or of all."""
        await self._runner.run("reset", type_, destination=destination, owner=owner)

    async def requeue(self, type_: str, destination: str, owner: str | None = None) -> int:
        """Put jobs whose callback to a destination failed back in the queue; returns how many.

        Jobs whose clients do not want them any more (410) stay as they are.

        Args:
            type_: The type.
            destination: scheme://host:port.
            owner: Whose jobs; None for those of every owner.
        """
        count, cursor = 0, None
        while True:
            page = await self._jobs.page(type_, status=Status.ERROR, after=cursor)
            for job in page.jobs:
                if _may_be_requeued(job, destination, owner):
                    with suppress(errors.JobNotFound, errors.Conflict):  # it changed meanwhile
                        await self._jobs.transition(
                            type_, job.request_id, Status.QUEUED, fence=job.fence
                        )
                        count += 1
            cursor = page.next
            if cursor is None:
                return count

    async def set_keys(self, type_: str, owner: str, keys: Sequence[str]) -> None:
        """Set the signing keys of an owner, or of `*`; the newest first, none to stop signing.

        Raises:
            SigningKeysEncrypted: Others of the type are encrypted, and this process cannot do that.
        """
        if not self._cipher.encrypts:
            self._cipher.decrypt(sum((await self._stored_keys(type_)).values(), ()))
        await self._registry.register(type_)
        while True:
            stored = await self._runner.command("HGET", Keys(type_).of("keys"), owner)
            reply = await self._runner.run(
                "set_keys",
                type_,
                owner_id=owner,
                signing_keys=" ".join(self._cipher.encrypt(keys)),
                stored_keys=stored,
                fingerprints=_fingerprints(keys),
                stored_fingerprints=_fingerprints(self._readable((stored or "").split())),
            )
            if reply.is_set:
                return

    async def keys(self, type_: str) -> dict[str, tuple[str, ...]]:
        """Read the signing keys, decrypted: owner or `*` → keys, the newest first.

        Raises:
            SigningKeysEncrypted: This process lacks the secret key of one.
        """
        stored = await self._stored_keys(type_)
        return {owner: self._cipher.decrypt(keys) for owner, keys in stored.items()}

    async def encrypt_keys(self, type_: str) -> int:
        """Encrypt the signing keys that are not, or with an older key; returns of how many owners.

        Raises:
            SigningKeysEncrypted: This process lacks the secret key of one.
        """
        owners = list(await self._stored_keys(type_))
        return sum([await self._encrypt_keys_of(type_, owner) for owner in owners])

    async def _encrypt_keys_of(self, type_: str, owner: str) -> bool:
        """Encrypt an owner's signing keys; returns whether they had to be."""
        while True:
            stored = (await self._stored_keys(type_)).get(owner, ())
            if self._cipher.is_current(stored):
                return False
            new = self._cipher.encrypt(self._cipher.decrypt(stored))
            was, signing_keys = " ".join(stored), " ".join(new)
            reply = await self._runner.run(
                "encrypt_keys", type_, owner_id=owner, was=was, signing_keys=signing_keys
            )
            if reply.stored:  # else they were set meanwhile
                return True

    def _readable(self, stored: Sequence[str]) -> Sequence[str]:
        """Return keys decrypted, or as they are stored if their secret key is lost."""
        with suppress(errors.SigningKeysEncrypted):
            return self._cipher.decrypt(tuple(stored))
        return stored

    async def _stored_keys(self, type_: str) -> dict[str, tuple[str, ...]]:
        fields = records.pairs(await self._runner.command("HGETALL", Keys(type_).of("keys")))
        return {owner: tuple(text.split()) for owner, text in fields.items()}


def _fingerprints(keys: Iterable[str]) -> str:
    return " ".join(map(fingerprint, keys))


def _may_be_requeued(job: Job, destination: str, owner: str | None) -> bool:
    return (
        job.status is Status.ERROR
        and job.destination == destination
        and (owner is None or job.owner_id == owner)
        and job.cause != GONE
        and job.error != WITHDRAWN  # jobs of earlier versions have no cause
    )


def _attempt(delivery: Delivery, settlement: Settlement) -> dict[str, Any]:
    """Make one row of settle's `attempts`."""
    job = delivery.job
    return {
        "request_id": job.request_id,
        "id": job.id,
        "fence": job.fence,
        "attempt": delivery.attempt,
        "outcome": settlement.outcome,
        "delay": round(settlement.delay * 1000),
        "cause": settlement.cause,
        "error": settlement.error or settlement.cause,
        "milliseconds": settlement.milliseconds,
        "destination": job.destination,
        "owner": job.owner_id or "",
        "health": settlement.health,
        "slow_down": round(settlement.slow_down * 1000),
        "pause": round(settlement.pause * 1000),
    }


def _seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000
