"""Which waiting jobs are passed for the first time during one admission pass.

A job is passed when a later job is granted a host that it could have used, or capacity below the
limit of the owner they share. From then on its patience runs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from rq_broker.domain.jobs import Demand
from rq_broker.domain.planning import Head


class PassedJobs:
    """The jobs that wait so far in this pass, and those of them that a later grant passed."""

    def __init__(
        self, passed_before: Collection[str], is_possible: Callable[[Demand], bool]
    ) -> None:
        """Begin a pass.

        Args:
            passed_before: request_ids of jobs passed in an earlier pass; they are not noted again.
            is_possible: whether the hosts could hold a demand if they were empty. Impossible jobs
                are not passed, since nobody delays them.
        """
        self.newly_passed: dict[str, Head] = {}
        """request_id → job."""
        self._passed_before = passed_before
        self._is_possible = is_possible
        self._by_hosts: dict[int, list[tuple[Head, Demand]]] = {}
        """Mask of hosts → jobs that wait for these hosts."""
        self._by_owner: dict[str, list[Head]] = {}
        """Owner → its jobs that wait for its limit."""

    def add_waiting_for_hosts(self, head: Head, demand: Demand, hosts: int) -> None:
        """Note that a job waits for room on any host of the mask."""
        if head.request_id not in self._passed_before:
            self._by_hosts.setdefault(hosts, []).append((head, demand))

    def add_waiting_for_owner(self, head: Head, owner: str) -> None:
        """Note that a job waits for its owner to hold less."""
        if head.request_id not in self._passed_before:
            self._by_owner.setdefault(owner, []).append(head)

    def note_grant(self, owner: str, hosts: list[int]) -> None:
        """Note which of the waiting jobs a grant passes."""
        if self._by_owner:
            for head in self._by_owner.pop(owner, ()):
                self.newly_passed[head.request_id] = head
        for mask in list(self._by_hosts):
            if any(mask >> index & 1 for index in hosts):
                for head, demand in self._by_hosts.pop(mask):
                    if self._is_possible(demand):
                        self.newly_passed[head.request_id] = head
