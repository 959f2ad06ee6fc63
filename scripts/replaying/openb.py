"""Reads the openb trace of a GPU cluster as a queue for a few of its nodes.

The trace (Alibaba, published with Weng et al., ATC 2023) is two tables: nodes and pods.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

from replaying.files import BadLog, read_lines
from replaying.jobs import Job
from rq_broker.domain.capacity import Host
from rq_broker.domain.jobs import Demand

GPUS = "GPU"
RESOURCES = {"CPU": "cpu_milli", "memory": "memory_mib"}
"""Resource → its column, which both tables have; that of the GPUs has two names."""


class Trace(NamedTuple):
    """The queue."""

    hosts: list[Host]
    demands: Mapping[Job, Demand]
    """Job → what it needs; by time of arrival. Its `processors` are its GPUs."""


def read_trace(nodes: Path, pods: Path, node_count: int, gpus: int, first_day: float) -> Trace:
    """Read the pods with GPUs that arrive from a day on, for nodes with so many GPUs each.

    The nodes are alike: as the largest that the trace has with so many GPUs. A pod that asks for a
    part of a GPU gets a whole one, and holds from its start for as long as it did in the trace.

    Raises:
        BadLog: A file cannot be read, some row is no node or pod, or nothing is left to replay.
    """
    kinds = [kind for kind in _parsed(nodes, _capacity) if kind[GPUS] == gpus]
    if not kinds:
        raise BadLog(f"{nodes} has no node with {gpus} GPUs")
    largest = max(kinds, key=lambda kind: (kind["CPU"], kind["memory"]))
    fitting = [
        pod
        for pod in _parsed(pods, _pod)
        if pod.needs[GPUS]
        and pod.run_time > 0
        and pod.created >= first_day * 86400
        and all(amount <= largest[resource] for resource, amount in pod.needs.items())
    ]
    if not fitting:
        raise BadLog(f"{pods} has no pod with GPUs from day {first_day:g} on that fits such a node")
    fitting.sort(key=lambda pod: pod.created)
    hosts = [Host(f"node{number}", largest) for number in range(node_count)]
    return Trace(hosts, dict(pod.job(number) for number, pod in enumerate(fitting, 1)))


class _Pod(NamedTuple):
    """A row of the table of pods; times in seconds."""

    created: float
    run_time: float
    needs: dict[str, int]

    def job(self, number: int) -> tuple[Job, Demand]:
        pairs = sorted((resource, amount) for resource, amount in self.needs.items() if amount)
        job = Job(number, self.created, self.run_time, self.needs[GPUS], self.run_time, 0)
        return job, Demand((tuple(pairs),))


_Parsed = TypeVar("_Parsed")


def _parsed(path: Path, parse: Callable[[Mapping[str, str]], _Parsed]) -> Iterator[_Parsed]:
    for line, row in enumerate(csv.DictReader(read_lines(path)), 2):
        try:
            yield parse(row)
        except (KeyError, TypeError, ValueError) as error:
            raise BadLog(f"{path}, line {line}: is no row of the trace: {error}") from None


def _capacity(row: Mapping[str, str]) -> dict[str, int]:
    return {**_amounts(row), GPUS: int(row["gpu"])}


def _pod(row: Mapping[str, str]) -> _Pod:
    created = float(row["creation_time"])
    # A pod without a start was deleted before it: it would have held from its creation on.
    run_time = float(row["deletion_time"]) - float(row["scheduled_time"] or created)
    return _Pod(created, run_time, {**_amounts(row), GPUS: int(row["num_gpu"])})


def _amounts(row: Mapping[str, str]) -> dict[str, int]:
    return {resource: int(row[column]) for resource, column in RESOURCES.items()}
