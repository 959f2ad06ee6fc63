"""Reads the nodes and the pods of the openb trace, and lets pods arrive in random order.

Alibaba published the trace with Weng et al., ATC 2023. The arrivals are theirs: every pod of the
list once, then pods drawn from it until so much was asked for, all in random order.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from random import Random
from typing import NamedTuple, TypeVar

from replaying.files import BadLog, read_lines

from rq_broker.domain.traits import Instance

MILLI = 1000
"""Parts of a GPU."""


class Node(NamedTuple):
    """A node: GPUs of one model, and its other resources."""

    name: str
    cpu: int
    memory: int
    gpus: int
    model: str


class Pod(NamedTuple):
    """What a pod asks for; a part of one GPU, or several whole ones."""

    cpu: int
    memory: int
    gpus: int
    milli: int
    """Of each of its GPUs."""
    models: tuple[str, ...]
    """Models that will do; empty: any."""

    @property
    def total(self) -> int:
        """Milli-GPUs in all."""
        return self.gpus * self.milli

    @property
    def instance(self) -> Instance:
        """The same as an instance of a demand."""
        amounts = (("CPU", self.cpu), ("GPU", self.total), ("memory", self.memory))
        return tuple(pair for pair in amounts if pair[1])


_Row = TypeVar("_Row")


def read_nodes(path: Path) -> list[Node]:
    """Read the table of nodes. Raises BadLog."""
    return list(_parsed(path, _node))


def read_pods(path: Path) -> list[Pod]:
    """Read the table of pods. Raises BadLog."""
    return list(_parsed(path, _pod))


def _parsed(path: Path, parse: Callable[[Mapping[str, str]], _Row]) -> Iterator[_Row]:
    for line, row in enumerate(csv.DictReader(read_lines(path)), 2):
        try:
            yield parse(row)
        except (KeyError, TypeError, ValueError) as error:
            raise BadLog(f"{path}, line {line}: is no row of the trace: {error}") from None


def _node(row: Mapping[str, str]) -> Node:
    cpu, memory = int(row["cpu_milli"]), int(row["memory_mib"])
    return Node(row["sn"], cpu, memory, int(row["gpu"]), row["model"])


def _pod(row: Mapping[str, str]) -> Pod:
    gpus = int(row["num_gpu"])
    milli = MILLI if gpus > 1 else int(row["gpu_milli"]) * gpus
    models = tuple(sorted(filter(None, row["gpu_spec"].split("|"))))
    return Pod(int(row["cpu_milli"]), int(row["memory_mib"]), gpus, milli, models)


def arrivals(pods: list[Pod], most: int, rng: Random) -> list[Pod]:
    """Draw pods until `most` milli-GPUs were asked for, in random order."""
    arriving, total = list(pods), sum(pod.total for pod in pods)
    while total > most:
        total -= arriving.pop(rng.randrange(len(arriving))).total
    while True:
        pod = rng.choice(pods)
        if total + pod.milli > most:
            break
        total += pod.total
        arriving.append(pod)
    rng.shuffle(arriving)
    return arriving
