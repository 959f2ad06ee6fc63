"""Which types have a live notifier: without one, nothing is granted, called or expired."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

from rq_broker.domain.reasons.values import Unserved
from rq_broker.store.broker import Broker
from rq_broker.store.notifiers import NotifierReport

UNSERVED_AFTER = 20.0
"""Seconds without a report from any notifier of a type after which that is told. They report every
second, so a shorter time only tells of pauses that end by themselves."""
_REREAD_SECONDS = 1.0
"""Seconds for which readers of waiting jobs share the reports that one of them read."""


class ServedTypes:
    """Reads the notifiers' reports for one process, at most once a second."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._reports: list[NotifierReport] = []
        self._read_at = -_REREAD_SECONDS
        self._reading = asyncio.Lock()

    async def reports(self) -> list[NotifierReport]:
        """Return what each notifier last reported, see Notifiers; ages are as of the read."""
        async with self._reading:
            if time.monotonic() - self._read_at >= _REREAD_SECONDS:
                self._reports = await self._broker.notifiers()
                self._read_at = time.monotonic()
            return self._reports

    async def unserved(self, type_: str) -> Unserved | None:
        """Say that no notifier serves a type, and since when; None if one does."""
        return unserved_of(type_, await self.reports())


def serves_now(report: NotifierReport) -> bool:
    """Tell whether a notifier is taken for alive."""
    return not report.has_left and report.age < UNSERVED_AFTER


def unserved_of(type_: str, reports: Iterable[NotifierReport]) -> Unserved | None:
    """Say that none of the notifiers serves a type, and since when; None if one does."""
    reports = list(reports)
    serving = [report for report in reports if not report.types or type_ in report.types]
    if any(map(serves_now, serving)):
        return None
    age = min((report.age for report in serving), default=None)
    # Of those that have left only the last is known: one before it may have served the type.
    is_known = age is not None and all(report.age >= age for report in reports if report.has_left)
    return Unserved(age) if is_known else Unserved()
