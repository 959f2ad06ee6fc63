"""Whose jobs a request may name, and how jobs are shown to who asks: the rules row by row.

Which role may call what stands in roles.py. Whoever is limited to owners gets the answers of its
own jobs only: to it, a job of another owner does not exist.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from starlette.requests import Request

from rq_broker.api.access import check_owner, identity_of, scope_of
from rq_broker.api.roles import Scope
from rq_broker.api.views import AttemptView
from rq_broker.delivery.outcome import coarse_cause, coarse_error
from rq_broker.domain.arrays import ArraySubmission
from rq_broker.domain.deliveries import Attempt
from rq_broker.domain.errors import CallbackForbidden, Conflict, Forbidden
from rq_broker.domain.identity import Identity
from rq_broker.domain.jobs import Job, Shape, Submission
from rq_broker.domain.offers import OFFER
from rq_broker.domain.policy import Policy
from rq_broker.domain.representation import JobView
from rq_broker.domain.sharing import Share
from rq_broker.egress.networks import effective_addresses
from rq_broker.egress.rules import AddressList
from rq_broker.egress.url import parse_authority

_SECOND_US = 1_000_000


def limits_of(request: Request) -> frozenset[str] | None:
    """Return the owners to whose jobs the caller is limited; None if to none."""
    return identity_of(request).owners


def owners_of(request: Request, asked: str | None = None) -> frozenset[str] | None:
    """Return whose jobs a request may name; None for every owner's, empty for nobody's.

    `asked`: the owner that it asks for; None: the `owner_id` of its query. Another's is nobody.
    """
    identity = identity_of(request)
    owner = request.query_params.get("owner_id", "") if asked is None else asked
    if not owner:
        return identity.owners
    return frozenset((owner,)) if identity.owns(owner) else frozenset()


# What is submitted


def check_submission(request: Request, submission: Submission) -> None:
    """Raise Forbidden or CallbackForbidden for a job that the caller may not submit.

    A priority would put it before the jobs of others, so only operators give one.
    """
    check_owner(request, submission.owner_id)
    check_callback(identity_of(request), submission.shape.destination)
    _check_priority(request, submission.priority)


def check_array(request: Request, new: ArraySubmission) -> None:
    """Raise Forbidden or CallbackForbidden for an array that the caller may not submit."""
    check_owner(request, new.owner_id)
    for destination in {shape.destination for shape in new.shapes}:
        check_callback(identity_of(request), destination)
    _check_priority(request, new.priority)


def _check_priority(request: Request, priority: int | None) -> None:
    if priority is not None and limits_of(request) is not None:
        raise Forbidden(
            "priority: only operators give one at submit; change the order of your own jobs "
            "once they wait"
        )


def imagined_shape(request: Request, shape: Shape) -> Shape:
    """Return the shape that a what-if asks about, of the caller's own owner.

    Raises Invalid where it has several and names none, Forbidden if it names another.
    """
    check_callback(identity_of(request), shape.destination)
    if limits_of(request) is None:
        return shape
    owner = shape.owner or identity_of(request).sole_owner() or ""
    check_owner(request, owner)
    return Shape(shape.demand, owner, shape.destination, shape.expected)


def check_callback(identity: Identity, destination: str) -> None:
    """Raise CallbackForbidden unless an identity may name the host of a destination.

    It is not checked again when the callback is sent: that goes to the host that was named, follows
    no redirect, and to what address the name may lead is the egress rules' to say. A list that
    changes later binds the submits from then on.
    """
    if identity.callback_hosts is None or destination == OFFER:
        return
    scheme, _, authority = destination.partition("://")
    host, address, _ = parse_authority(scheme, authority)
    hosts = _address_list(identity.callback_hosts)
    if address is None:
        allowed = hosts.matches(host)
    else:
        allowed = all(map(hosts.contains, effective_addresses(address)))
    if not allowed:
        raise CallbackForbidden(
            f"callback names the host {host}, which is not among the callback_hosts of "
            f"{identity.name}"
        )


@lru_cache(1024)
def _address_list(hosts: frozenset[str]) -> AddressList:
    return AddressList.parse("callback_hosts", hosts)


# What is shown


def job_view(request: Request, job: Job) -> JobView:
    """Return a job as it is shown to the caller."""
    view = JobView.of(job)
    if scope_of(request) is Scope.REDACTED:
        view = view.with_fields(callback="", data="{}", redacted=("Callback", "Data"))
    if limits_of(request) is not None and view.error is not None:
        view = view.with_fields(error=coarse_error(view.error))
        if view.cause:
            view = view.with_fields(cause=coarse_cause(view.cause))
    return view


def show_refused(request: Request, refusal: Conflict) -> None:
    """Show the job in the details of a refusal as it is shown to the caller."""
    job = refusal.details.get("data")
    if isinstance(job, Job):
        refusal.details = {**refusal.details, "data": job_view(request, job)}


def attempt_view(request: Request, attempt: Attempt) -> AttemptView:
    """Return an attempt as it is shown to the caller.

    Who may submit could read from exact causes and times which ports of a private network are open.
    """
    view = AttemptView.of(attempt)
    if limits_of(request) is None:
        return view
    second = attempt.ended - attempt.ended % _SECOND_US
    return AttemptView.of(
        replace(attempt, ended=second, cause=coarse_cause(attempt.cause))
    ).with_fields(milliseconds=None)


def shown_policy(request: Request, policy: Policy) -> Policy:
    """Return a policy as it is shown to the caller: without what it says of other owners."""
    owners = limits_of(request)
    if owners is None:
        return policy
    known = {*owners, "*"}
    limits = {owner: limit for owner, limit in policy.limits.items() if owner in known}
    queue_limits = {owner: limit for owner, limit in policy.queue_limits.items() if owner in known}
    share = policy.share
    if isinstance(share, Share):
        weights = {owner: weight for owner, weight in share.weights.items() if owner in known}
        share = Share(share.by, share.half_life, weights)
    return replace(policy, limits=limits, queue_limits=queue_limits, share=share)
