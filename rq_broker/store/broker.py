"""The broker: one async method a verb, one script a method, any number of processes at once.

Every method raises the classes of errors.py and no others. The verbs stand by who uses them: jobs
and types by clients, planning and deliveries by the notifier.
"""

from __future__ import annotations

from rq_broker.store.deliveries import Deliveries, Settlement
from rq_broker.store.grants import Heads, Holdings, View
from rq_broker.store.jobs import Cursor, Page
from rq_broker.store.sources import SourceReport, Sources, WatchStarted

__all__ = [
    "Broker",
    "Cursor",
    "Heads",
    "Holdings",
    "Page",
    "Settlement",
    "SourceReport",
    "View",
    "WatchStarted",
]


class Broker(Sources, Deliveries):
    """All verbs on all types, over one Redis client."""
