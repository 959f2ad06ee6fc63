"""Snapshots of a source in the model of the broker: what of a grant is held, seen, or unheld."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from rq_broker.domain.capacity import Host
from rq_broker.domain.jobs import Status
from tests.model_arrays import Submits
from tests.model_job import SOURCE, SOURCE_HOST, MJob, Place


class Snapshots(Submits):
    """Applies the snapshots of a source that has one host."""

    def release(self, job: MJob) -> None:
        """Give back what a job holds; under until_seen the source's host keeps it for a while."""
        is_later = self.policy.holds == "until_seen"
        for place, amount in job.holds.items():
            if is_later and place[0] in self.hosts and self.hosts[place[0]].source:
                self.parting[place] += amount
        job.holds, job.seen, job.unheld = Counter(), Counter(), Counter()
        job.has_servers = job.is_lost = False
        job.unheld_since = None

    def apply(self, host: Host, used_by: Mapping[str, Counter[Place]]) -> None:
        """Apply a snapshot: the source's host, and what the servers of each job use anywhere."""
        is_until_seen = self.policy.holds == "until_seen"
        self.snapshots += 1
        running = self.ordered(Status.RUNNING)
        # 1. What is used now is held no more; what is used no more is unheld at first.
        known = [job for job in self.jobs.values() if job.unheld_since is not None]
        again = sorted(known, key=lambda job: (job.unheld_since or 0, job.id))
        for job in running:
            uses = is_until_seen and job.has_servers
            if self._see(job, used_by.get(job.request_id, Counter()) if uses else Counter()):
                again += [job] if job not in again else []
        # 2. The host, and what was released before the snapshot.
        self.hosts[host.name] = host
        self.parting.clear()
        # 3. What is unheld is held again where all of it has room, by who lost it first.
        for job in again:
            self._hold_again(job, is_forced=not is_until_seen)
        self.forget_empty_hosts()

    def _see(self, job: MJob, used: Counter[Place]) -> bool:
        """Move amounts of a grant to what its servers use; return whether some is used no more."""
        granted = {
            place: amount
            for place, amount in (job.holds + job.seen + job.unheld).items()
            if place[0] == SOURCE_HOST
        }
        used = Counter({place: n for place, n in used.items() if place[0] == SOURCE_HOST})
        is_less = False
        for place, amount in granted.items():
            added = min(amount, used[place]) - job.seen[place]
            is_less |= added < 0
            from_holds = max(added - job.unheld[place], 0)
            job.seen[place] += added
            job.holds[place] -= from_holds
            job.unheld[place] -= added - from_holds
        job.holds, job.seen, job.unheld = +job.holds, +job.seen, +job.unheld
        return is_less

    def _hold_again(self, job: MJob, *, is_forced: bool) -> None:
        free = self.with_held(self.hosts[SOURCE_HOST]).free
        has_room = all(free.get(name, 0) >= amount for (_, name), amount in job.unheld.items())
        if is_forced or has_room:
            job.holds, job.unheld = job.holds + job.unheld, Counter()
            job.unheld_since, job.is_lost = None, False
        elif job.unheld_since is None:
            job.unheld_since = self.snapshots
        else:
            job.is_lost = True


def source_host(capacity: int, used: Counter[str]) -> Host:
    """Return the source's host."""
    amounts = {"R": capacity, "R:x": capacity}
    return Host(SOURCE_HOST, amounts, dict(+used), source=SOURCE)
