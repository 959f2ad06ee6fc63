"""The published policies, as the simulator of Weng et al. scores nodes: in whole numbers to 100.

Their code is at github.com/hkust-adsl/kubernetes-scheduler-simulator; nodes of equal scores are
equally likely.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import exp

from gpu_packing.cluster import Choice, Score, Scored, State, after, choices
from gpu_packing.trace import MILLI, Pod

MOST_CPU, MOST_GPU = 128_000, 8 * MILLI
"""Of the largest node: what scores compare amounts with."""
TYPICAL = 0.95
"""Part of all pods that the typical ones make up, by which fragmentation is computed."""


def fullest(state: State, pod: Pod) -> Choice:
    """Choose the fullest GPU that holds a part of one, or whole ones."""
    return min(choices(state, pod), key=lambda choice: [state.gpus[place] for place in choice])


def best_fit(state: State, pod: Pod) -> Scored:
    """Prefer the node where the least of processors and GPUs is left."""
    left = (state.cpu - pod.cpu) / MOST_CPU + (sum(state.gpus) - pod.total) / MOST_GPU
    return int((1 - left / 2) * 100), fullest(state, pod)


def dot_product(state: State, pod: Pod) -> Scored:
    """Prefer the node where what is free has the least in common with what is asked for."""
    product = state.cpu * pod.cpu / MOST_CPU**2 + sum(state.gpus) * pod.total / MOST_GPU**2
    return int(100 * (1 - product / 2)), fullest(state, pod)


def gradient_descent(pods: Sequence[Pod]) -> Score:
    """Return the score of FGD, which knows all pods of the list beforehand."""
    typical = _typical(pods)
    known: dict[State, float] = {}

    def fragmentation(state: State) -> float:
        if state not in known:
            known[state] = sum(part * _fragments(state, pod) for pod, part in typical)
        return known[state]

    def score(state: State, pod: Pod) -> Scored:
        now, fits = fragmentation(state), list[Scored]()
        for choice in choices(state, pod):
            fewer = (now - fragmentation(after(state, pod, choice))) / MILLI
            fits.append((int(100 / (1 + exp(-fewer))), choice))
        points, choice = max(fits, key=lambda scored: scored[0])
        return 1000 * points + best_fit(state, pod)[0], choice

    return score


def _typical(pods: Sequence[Pod]) -> list[tuple[Pod, float]]:
    """Return the commonest pods, without what they need of memory, and the part of each."""
    counts = Counter(pod._replace(memory=0) for pod in pods)
    kept, total = list[tuple[Pod, int]](), 0
    for pod, count in counts.most_common():
        if total >= TYPICAL * len(pods):
            break
        kept.append((pod, count))
        total += count
    return [(pod, count / total) for pod, count in kept]


def _fragments(state: State, pod: Pod) -> int:
    """Return the milli-GPUs of a node that are of no use to a pod."""
    if not pod.gpus or not choices(state, pod):
        return sum(state.gpus)
    return sum(free for free in state.gpus if free < pod.milli)
