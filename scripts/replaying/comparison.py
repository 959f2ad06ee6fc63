"""One log under every reference policy and ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from replaying.counting import (
    CountingCluster,
    Estimate,
    Rule,
    easy,
    fcfs,
    first_fit,
    perfect_estimate,
    users_estimate,
)
from replaying.jobs import Job, replay
from replaying.planned import PlannedCluster, gang, hosts_of
from rq_broker.domain.policy import Policy

EASY_USERS = "EASY, users' estimates"
"""What the other policies are compared with."""
REFERENCES: Mapping[str, Rule] = {
    "FCFS": fcfs,
    "best effort": first_fit,
    EASY_USERS: easy(users_estimate),
    "EASY, perfect estimates": easy(perfect_estimate),
}
ESTIMATES: Mapping[str, Estimate | None] = {
    "none": None,
    "user": users_estimate,
    "perfect": perfect_estimate,
}
"""What our jobs say of their run time, by the word of `--estimates`."""


class Cluster(NamedTuple):
    """So many hosts of so many CPUs each."""

    hosts: int
    cpus: int

    @property
    def processors(self) -> int:
        """The CPUs of all hosts."""
        return self.hosts * self.cpus


def replay_reference(jobs: Sequence[Job], cluster: Cluster, rule: Rule) -> dict[Job, float]:
    """Return when each job starts under a reference policy."""
    return replay(jobs, CountingCluster(cluster.processors, rule))


def replay_ours(
    jobs: Sequence[Job], cluster: Cluster, policy: Policy, estimate: Estimate | None
) -> dict[Job, float]:
    """Return when each job starts under our policy; `estimate` is what each says, if anything.

    Raises:
        NeverStarted: The policy keeps some jobs from ever starting.
    """
    ours = PlannedCluster(hosts_of(cluster.hosts, cluster.cpus), policy, gang, estimate)
    return replay(jobs, ours)
