"""Notices that Redis lost state, and reports it: after a FLUSHALL, a restore, a failover.

This process remembers the highest ID and fence of each type, and the newest write that Redis
acknowledged to it. A reply that has less shows the loss; as lost numbers are given again, the write
is also looked for after each new connection. What was lost cannot be known (lua/report_loss.lua).
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from rq_broker.domain.errors import BrokerError, Unavailable
from rq_broker.store import records
from rq_broker.store.keys import Keys
from rq_broker.store.later import Later
from rq_broker.store.registry import Registry
from rq_broker.store.runner import Runner

_log = logging.getLogger(__name__)

REMEMBERED_TYPES = 20_000
"""Types of which something is remembered, some 300 bytes each. With more in use they are forgotten
all at once; a loss in between shows only to other processes."""
UNUSED_SECONDS = 50.0
"""For so long a type that never granted is remembered without a call: an empty one may be deleted
afterwards (lua/forget_type.lua), which is no loss."""
SAMPLED_TYPES = 5
"""Types that one `look` compares. A loss mostly is one of all types of a server."""
COMPARED_AT_ONCE = 50
"""Types compared at once after a loss: enough to keep Redis busy, few enough for other calls."""
LOOK_SECONDS = 1.0
"""From a new connection until the newest writes are looked for: several are made at once."""


class Witness(NamedTuple):
    """A submit or a grant that Redis acknowledged to this process."""

    request_id: str
    owner: str
    id: int
    """The job's ID."""
    fence: int
    """Fence of the grant, 0 of a submit."""
    at: int
    """When Redis carried it out, by its wall clock, µs since 1970; of a grant its fence."""


class Known(NamedTuple):
    """What a process knows of a type's state."""

    incarnation: str
    """The life of the state, '' where it has no name yet."""
    id: int
    fence: int
    at: float
    """When that was read, monotonic."""
    dials: int
    """Connections that were made before the witness was last found, or anything was read."""
    witness: Witness | None = None


@dataclass(frozen=True, slots=True)
class Loss:
    """A loss of a type's state; what jobs were lost with it cannot be known."""

    at: float
    """When it was noticed, by the type's clock, seconds since 1970."""
    last_id: int
    """The highest ID that is known to have been given."""
    id_there: int
    """The highest ID that Redis still had, 0 if it had nothing."""
    last_fence: int
    fence_there: int


class Continuity:
    """What this process remembers of all types."""

    def __init__(self, runner: Runner, registry: Registry) -> None:
        self._runner = runner
        self._registry = registry
        self._known: dict[str, Known] = {}
        self._look_later = Later(LOOK_SECONDS, self._look_for_witnesses)
        runner.on_dial = self._look_later.ask

    def known(self, type_: str) -> Known:
        """Return what is known of a type: read it before a call, and hand it to `compare`."""
        known = self._known.get(type_)
        now = time.monotonic()
        if known is None or (not known.fence and now - known.at > UNUSED_SECONDS):
            return Known("", 0, 0, now, self._runner.dials)
        return known

    async def compare(
        self,
        type_: str,
        before: Known,
        incarnation: str,
        id_: int = 0,
        fence: int = 0,
        *,
        witness: Witness | None = None,
    ) -> None:
        """Remember what a reply shows, and report a loss.

        Args:
            type_: The type.
            before: What was known when the call was sent.
            incarnation: The life of the state that the reply is of.
            id_: The type's highest ID as of the reply, 0 if it does not tell.
            fence: Its highest fence, likewise.
            witness: The submit that the call was: its ID is higher than all that were known.
        """
        dials = before.dials
        if before.incarnation:
            is_less = 0 < id_ < before.id + bool(witness) or 0 < fence < before.fence
            if is_less or self._is_doubted(before) or incarnation != before.incarnation:
                dials = self._runner.dials
                incarnation = await self._report(type_, before)
        now = time.monotonic()
        known = self._known.get(type_)
        if known is None or known.incarnation != incarnation:
            if len(self._known) >= REMEMBERED_TYPES:
                self._known.clear()
            self._known[type_] = Known(incarnation, id_, fence, now, dials, witness)
        else:
            self._known[type_] = Known(
                incarnation, max(id_, known.id), max(fence, known.fence), now,
                max(dials, known.dials), witness or known.witness,
            )  # fmt: skip

    async def compare_settings(
        self, type_: str, before: Known, settings: Mapping[str, str]
    ) -> None:
        """Do the same for the fields of the base hash; without a life, it was lost as a whole."""
        id_, fence = (_number(settings.get(name)) for name in ("id", "fence"))
        await self.compare(type_, before, settings.get("incarnation", ""), id_, fence)

    def note_grant(self, type_: str, witness: Witness) -> None:
        """Remember a grant. An earlier write that is still to be looked for stays remembered."""
        known = self._known.get(type_)
        if known and witness.fence > known.fence:
            self._known[type_] = known._replace(
                fence=witness.fence,
                witness=known.witness if self._is_doubted(known) else witness,
            )

    def _is_doubted(self, known: Known) -> bool:
        """Return whether a write was not looked for since the newest connection was made."""
        return known.witness is not None and known.dials != self._runner.dials

    async def look(self) -> None:
        """Compare some types that nobody may be asking for; after a loss compare all.

        Raises:
            Unavailable: Redis does not answer.
        """
        types = list(self._known)
        sample = random.sample(types, min(SAMPLED_TYPES, len(types)))
        if any([await self._look_at(type_) for type_ in sample]):
            await self._look_at_all(types)

    def close(self) -> None:
        """Look for nothing more."""
        self._look_later.close()

    async def _look_for_witnesses(self) -> bool:
        """Look for the newest writes that are in doubt; returns whether to look again."""
        doubted = [type_ for type_, known in self._known.items() if self._is_doubted(known)]
        try:
            await self._look_at_all(doubted)
        except BrokerError:  # the store has logged why
            return True
        return False

    async def _look_at_all(self, types: Sequence[str]) -> None:
        for start in range(0, len(types), COMPARED_AT_ONCE):
            batch = types[start : start + COMPARED_AT_ONCE]
            await asyncio.gather(*map(self._look_at, batch))

    async def learn(self, type_: str) -> None:
        """Remember a type's state if nothing is known of it yet: a loss of it shows then."""
        if type_ not in self._known:
            settings = await self._settings(type_)
            if "incarnation" in settings:
                await self.compare_settings(type_, self.known(type_), settings)

    async def _look_at(self, type_: str) -> bool:
        """Compare one type; returns whether its state has another life than was known."""
        before = self.known(type_)
        if not before.incarnation:
            return False
        await self.compare_settings(type_, before, await self._settings(type_))
        known = self._known.get(type_)
        return known is not None and known.incarnation != before.incarnation

    async def _settings(self, type_: str) -> dict[str, str]:
        """Read what `compare_settings` compares."""
        fields = ("incarnation", "id", "fence")
        texts = await self._runner.command("HMGET", Keys(type_).base, *fields)
        return {name: text for name, text in zip(fields, texts, strict=True) if text}

    async def _report(self, type_: str, before: Known) -> str:
        """Report what was known, lost or not; returns the life of the state now."""
        witness = before.witness
        reply = await self._runner.run(
            "report_loss",
            type_,
            incarnation=before.incarnation,
            id=before.id,
            fence=before.fence,
            witness=[witness._asdict()] if witness else [],
        )
        # The list of types may be lost too; readiness and the audit go by it.
        with suppress(Unavailable):
            await self._registry.list_type(type_)
        if reply.is_new:
            _log.error(
                "type %s: Redis lost state: job IDs up to %d were given, it came back with %d."
                " Jobs, hosts and updates since may be gone; rq-broker audit tells what is known",
                type_, before.id, reply.id,
            )  # fmt: skip
        life: str = reply.incarnation
        return life

    async def losses(self, type_: str) -> list[Loss]:
        """Read which losses of a type's state nobody has acknowledged yet, the oldest first."""
        flat = await self._runner.command("HGETALL", Keys(type_).of("lost"))
        texts = [text.split(" ") for text in records.pairs(flat).values()]
        losses = [
            Loss(int(when) / 1000, *map(int, numbers))
            for when, *numbers in texts
            if when.isdigit() and len(numbers) == 4
        ]
        return sorted(losses, key=lambda loss: loss.at)

    async def acknowledge_losses(self, type_: str) -> int:
        """Note that an operator knows of all losses; returns how many nobody had acknowledged."""
        reply = await self._runner.run("acknowledge_losses", type_)
        acknowledged: int = reply.acknowledged
        return acknowledged


def _number(text: str | None) -> int:
    return int(text) if text and text.isdigit() else 0
