"""What a value looks like in an HTTP answer."""

from __future__ import annotations

from typing import Any

from rq_broker.domain.capacity import Host, SourceState
from rq_broker.domain.deliveries import Attempt, Destination
from rq_broker.domain.representation import rfc3339


def host_json(host: Host) -> dict[str, Any]:
    """Build the host's JSON object; max_unit and source only where there is one."""
    more = {"max_unit": host.max_unit, "source": host.source}
    return {
        "name": host.name,
        "capacity": host.capacity,
        "used": host.used,
        "held": host.held,
        "free": host.free,
        "aggregates": sorted(host.aggregates),
        "dropped": host.dropped,
        **{name: value for name, value in more.items() if value},
    }


def source_json(source: SourceState) -> dict[str, Any]:
    """Build the source's JSON object."""
    return {
        "name": source.name,
        "age_seconds": source.age,
        "stale": source.stale,
        "hosts": source.hosts,
        "clashes": source.clashes,
        "cause": source.cause or None,
        "text": source.text or None,
    }


def attempt_json(attempt: Attempt) -> dict[str, Any]:
    """Build the attempt's JSON object."""
    return {
        "time": rfc3339(attempt.ended),
        "fence": attempt.fence,
        "attempt": attempt.attempt,
        "cause": attempt.cause,
        "milliseconds": attempt.milliseconds,
    }


def destination_json(destination: Destination) -> dict[str, Any]:
    """Build the destination's JSON object."""
    return {
        "destination": destination.name,
        "state": destination.state,
        "failures": destination.failures,
        "open_seconds": destination.opens_for,
        "in_flight": destination.in_flight,
        "parked": destination.parked,
    }
