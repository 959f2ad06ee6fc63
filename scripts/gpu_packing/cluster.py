"""Nodes while pods arrive, for policies that score each node by what is free on it.

Nodes in equal states get equal scores, so each state is scored once for each kind of pod.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random
from typing import NamedTuple

from gpu_packing.trace import MILLI, Node, Pod


class State(NamedTuple):
    """What is free on a node."""

    cpu: int
    memory: int
    gpus: tuple[int, ...]
    """Milli-GPUs of each GPU, ascending: which one it is makes no difference."""
    model: str


Choice = tuple[int, ...]
"""Places in `State.gpus` of the GPUs that a pod is given."""
Scored = tuple[int, Choice]
"""How good a node is for a pod, the most is best; and the GPUs that it is given there."""
Score = Callable[[State, Pod], Scored]
"""Scores a node that fits."""


def choices(state: State, pod: Pod) -> list[Choice]:
    """List the GPUs that a pod may be given on a node; empty if it does not fit."""
    if pod.cpu > state.cpu or pod.memory > state.memory:
        return []
    if pod.models and state.model not in pod.models:
        return []
    if not pod.gpus:
        return [()]
    fitting = [place for place, free in enumerate(state.gpus) if free >= pod.milli]
    if pod.gpus == 1:
        return [(place,) for place in fitting]
    return [tuple(fitting[: pod.gpus])] if len(fitting) >= pod.gpus else []


def after(state: State, pod: Pod, choice: Choice) -> State:
    """Return what is free once a pod has these GPUs."""
    gpus = list(state.gpus)
    for place in choice:
        gpus[place] -= pod.milli
        assert gpus[place] >= 0  # no single GPU is oversold
    return State(state.cpu - pod.cpu, state.memory - pod.memory, tuple(sorted(gpus)), state.model)


class Cluster:
    """The nodes, and how many are in each state."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        self._counts: dict[State, int] = {}
        for node in nodes:
            gpus = (MILLI,) * node.gpus
            self._add(State(node.cpu, node.memory, gpus, node.model))
        self._scores: dict[Pod, dict[State, Scored | None]] = {}

    def _add(self, state: State) -> None:
        self._counts[state] = self._counts.get(state, 0) + 1

    def place(self, pod: Pod, score: Score, rng: Random) -> bool:
        """Give a pod the node with the best score, of several at random; False if none fits."""
        known = self._scores.setdefault(pod, {})
        best, states = -1, list[State]()
        for state in self._counts:
            if state not in known:
                known[state] = score(state, pod) if choices(state, pod) else None
            scored = known[state]
            if scored is None or scored[0] < best:
                continue
            if scored[0] > best:
                best, states = scored[0], []
            states.append(state)
        if not states:
            return False
        (state,) = rng.choices(states, [self._counts[state] for state in states])
        scored = known[state]
        assert scored is not None
        self._move(state, pod, scored[1])
        return True

    def place_anywhere(self, pod: Pod, rng: Random) -> bool:
        """Give a pod a node on which it fits, and GPUs there, at random."""
        fitting = [state for state in self._counts if choices(state, pod)]
        if not fitting:
            return False
        (state,) = rng.choices(fitting, [self._counts[state] for state in fitting])
        self._move(state, pod, rng.choice(choices(state, pod)))
        return True

    def _move(self, state: State, pod: Pod, choice: Choice) -> None:
        self._counts[state] -= 1
        if not self._counts[state]:
            del self._counts[state]
        self._add(after(state, pod, choice))
