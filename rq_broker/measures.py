"""What one process measures of its own work, for /metrics: counters and times of its whole life.

Several processes add up; where one API has several workers, prometheus_client adds them up through
files in the folder that PROMETHEUS_MULTIPROC_DIR names, see cli/api.py. What Redis counts for all
processes is in domain/figures.py. docs/observing.md lists every metric.
"""

from __future__ import annotations

import os

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.multiprocess import MultiProcessCollector

from rq_broker import __version__

PREFIX = "rq_broker_"
disable_created_metrics()  # one row more for each counter, of no use to Prometheus
OWN = CollectorRegistry()
"""What this process measures. It is not the library's own registry: others may use that."""

_CALL_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
_WORK_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)

REDIS_ROUND_TRIPS = Counter(
    f"{PREFIX}redis_round_trips", "Writes to Redis, of one or more commands each", registry=OWN
)
REDIS_COMMANDS = Counter(
    f"{PREFIX}redis_commands", "Commands sent to Redis; a script is one", registry=OWN
)
REDIS_REFUSED = Counter(
    f"{PREFIX}redis_refused", "Calls that Redis refused, by cause", ["cause"], registry=OWN
)
SCRIPT_SECONDS = Histogram(
    f"{PREFIX}script_seconds",
    "From sending a script to its reply, waiting for others included",
    ["script"],
    buckets=_CALL_SECONDS,
    registry=OWN,
)
PASS_SECONDS = Histogram(
    f"{PREFIX}planner_pass_seconds",
    "Planning of one admission pass, waiting for its turn included",
    buckets=_WORK_SECONDS,
    registry=OWN,
)
CALLBACKS = Counter(
    f"{PREFIX}callbacks", "Attempts to call back, by outcome", ["outcome"], registry=OWN
)
CALLBACK_SECONDS = Histogram(
    f"{PREFIX}callback_seconds",
    "One attempt to call back, from the look-up to the answer",
    buckets=(*_WORK_SECONDS, 30.0),
    registry=OWN,
)
ProcessCollector(registry=OWN)

SHARED = "PROMETHEUS_MULTIPROC_DIR"
"""Environment variable that names the folder in which processes add up, for prometheus_client."""


def add_own(registry: CollectorRegistry) -> None:
    """Let a registry collect what this process measures, or all processes that share a folder."""
    Info(f"{PREFIX}build", "What runs", registry=registry).info({"version": __version__})
    if SHARED in os.environ:
        MultiProcessCollector(registry)
    else:
        registry.register(OWN)
