"""What is added to every reason of a type: that its sources are stale, or that nobody serves it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from rq_broker.admission.served_types import ServedTypes
from rq_broker.domain.capacity import BAD_HOSTS, UNREAD, SourceState
from rq_broker.domain.reasons.values import SourceTrouble, Unserved
from rq_broker.planner import Reason, ReasonCode
from rq_broker.store.broker import Broker

CAPACITY_CODES = {
    ReasonCode.NO_FIT,
    ReasonCode.IMPOSSIBLE,
    ReasonCode.PROTECTED_OTHER,
    ReasonCode.STRICT_ORDER,
    ReasonCode.GRANTED_SOON,
    ReasonCode.NO_NOTIFIER,
}
"""The reasons that more capacity could change, or less."""


@dataclass(frozen=True, slots=True)
class Remarks:
    """Remarks on one type at one moment."""

    sources: tuple[SourceTrouble, ...] = ()
    """Its sources of capacity with which something is wrong."""
    unserved: Unserved | None = None
    """That no notifier serves it."""

    def on(self, reason: Reason) -> Reason:
        """Return the reason with the remarks that concern it."""
        sources = self.sources if reason.code in CAPACITY_CODES else ()
        return replace(reason, sources=sources, unserved=self.unserved)

    def on_fitting(self) -> Reason | None:
        """Return why a job waits that fits; None if it is about to be granted."""
        return self.on(Reason(code=ReasonCode.NO_NOTIFIER)) if self.unserved else None


class RemarkReader:
    """Reads remarks for one process."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._served = ServedTypes(broker)

    async def read(self, type_: str) -> Remarks:
        """Read the remarks on a type."""
        sources, unserved = await asyncio.gather(
            self._broker.sources(type_), self._served.unserved(type_)
        )
        return Remarks(tuple(filter(None, map(_trouble, sources))), unserved)


def _trouble(source: SourceState) -> SourceTrouble | None:
    """Say that a source's capacity is out of date or known in part; None if it is not."""
    if source.stale or source.cause in (BAD_HOSTS, UNREAD):
        detail = "" if source.stale else source.text
        return SourceTrouble(source.name, source.stale, source.age, source.cause, detail)
    return None
