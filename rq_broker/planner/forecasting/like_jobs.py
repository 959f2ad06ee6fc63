"""How long jobs like one held, as far as that is known: those that ended, and those that still do.

Jobs that ended say too little of an owner whose jobs have become longer: its long ones still hold.
So a future that has drawn when they end takes them for observations, as the newest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rq_broker.domain.holding_times import RECENT, HoldingTimes, LikenessKey, likeness_keys


@dataclass(eq=False, slots=True)
class LikeJobs:
    """Jobs that are alike, each once; futures tell them apart by identity."""

    ended: Sequence[float]
    """Seconds that those held which have ended."""
    held: Sequence[int] = ()
    """Numbers of those that hold now."""
    count: int = field(init=False)

    def __post_init__(self) -> None:
        self.count = len(self.ended) + len(self.held)


class JobsByLikeness:
    """The jobs of a type that ended last or hold now, by how alike they are to a job."""

    def __init__(self, history: HoldingTimes, held: Iterable[Sequence[LikenessKey]]) -> None:
        """Begin with what ended, and the keys of each job that holds, the newest last."""
        self._history = history
        self._held: dict[LikenessKey, list[int]] = defaultdict(list)
        for number, keys in enumerate(held):
            for key in keys:
                self._held[key].append(number)
        self._known: dict[LikenessKey, LikeJobs] = {}
        self._all = LikeJobs(history.of_type)

    def of(self, owner: str, demand: str, size: int) -> tuple[LikeJobs, ...]:
        """Return the newest by likeness, without empty ones: of the owner's equal jobs, of its jobs
        of that size, of all its jobs, and of the type, which has ended ones only.
        """
        of_owner = [self._of(key) for key in likeness_keys(owner, demand, size)]
        return (*[jobs for jobs in of_owner if jobs.count], self._all)

    def _of(self, key: LikenessKey) -> LikeJobs:
        jobs = self._known.get(key)
        if jobs is None:
            held, ended = self._held.get(key, [])[-RECENT:], self._history.recent(key)
            ended = ended[max(len(held) + len(ended) - RECENT, 0) :]
            jobs = self._known[key] = LikeJobs(ended, held)
        return jobs
