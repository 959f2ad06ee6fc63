"""What is added to every reason of a type: that its sources are stale, or that nobody serves it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from rq_broker.admission.served_types import ServedTypes
from rq_broker.domain.capacity import BAD_HOSTS, UNREAD, SourceState
from rq_broker.planner import Reason, ReasonCode
from rq_broker.store.broker import Broker

CAPACITY_CODES = {
    ReasonCode.NO_FIT,
    ReasonCode.IMPOSSIBLE,
    ReasonCode.PROTECTED_OTHER,
    ReasonCode.STRICT_ORDER,
}
"""The reasons that more capacity could change."""


@dataclass(frozen=True, slots=True)
class Remarks:
    """Remarks on one type at one moment."""

    staleness: str
    """What is wrong with its sources of capacity, with a space before it; or ''."""
    unserved: str
    """That no notifier serves it; or ''."""

    def on(self, reason: Reason) -> Reason:
        """Return the reason with the remarks that concern it."""
        staleness = self.staleness if reason.code in CAPACITY_CODES else ""
        return reason.extended(staleness + (f"; and {self.unserved}" if self.unserved else ""))

    def on_fitting(self) -> Reason | None:
        """Return why a job waits that fits; None if it is about to be granted."""
        if not self.unserved:
            return None
        return Reason(ReasonCode.NO_NOTIFIER, f"it fits, but {self.unserved}{self.staleness}")


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
        remarks = [remark for source in sources if (remark := _describe(source))]
        return Remarks(f" ({'; '.join(remarks)})" if remarks else "", unserved)


def _describe(source: SourceState) -> str:
    """Say that a source's capacity is out of date or known in part; else ''."""
    if source.stale:
        trouble = f"fails: {source.cause}" if source.cause else "gives no newer one"
        age = "never known" if source.age is None else f"as of {source.age:.0f} s ago"
        return f"capacity {age}: source {source.name} {trouble}"
    return f"source {source.name}: {source.text}" if source.cause in (BAD_HOSTS, UNREAD) else ""
