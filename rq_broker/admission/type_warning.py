"""Warns of what a type's policy says in vain, or to its harm, and of a type that nobody uses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rq_broker.domain.capacity import Host
from rq_broker.domain.jobs import Status
from rq_broker.domain.policy import Policy
from rq_broker.domain.similar import did_you_mean

SHORT_SECONDS = 1.0
"""An offer or a running time below this may end before a callback is sent, or a client renews."""


def type_warning(
    type_: str, policy: Policy, hosts: Mapping[str, Host], counts: Mapping[Status, int]
) -> str | None:
    """Return the warnings about a type as one text, or None."""
    warnings = [*_of_use(type_, hosts, counts), *_of_limits(policy, hosts), *_of_spans(policy)]
    return "; ".join(warnings) or None


def _of_use(type_: str, hosts: Mapping[str, Host], counts: Mapping[Status, int]) -> Iterator[str]:
    if not hosts and not any(counts.values()):
        yield f"type {type_} has no host and no job yet: check its name if that surprises you"


def _of_limits(policy: Policy, hosts: Mapping[str, Host]) -> Iterator[str]:
    """Name the resources that have a limit and that no host has."""
    known = {resource for host in hosts.values() for resource in host.capacity}
    limited = {resource for limits in policy.limits.values() for resource in limits}
    if not hosts:
        return
    for resource in sorted(limited - known):
        hint = did_you_mean(resource, known)
        yield f"limits name {resource}, which no host of the type has{hint}"


def _of_spans(policy: Policy) -> Iterator[str]:
    if policy.offer is not None and policy.offer < SHORT_SECONDS:
        yield f"an offer of {policy.offer:g} s may end before its callback is sent"
    if policy.running is not None and policy.running < SHORT_SECONDS:
        yield f"a running time of {policy.running:g} s ends before clients can renew it"
