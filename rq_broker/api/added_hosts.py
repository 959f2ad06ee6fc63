"""The what-if of more hosts: its body, and its answer."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Any

from msgspec import Meta, Struct

from rq_broker.admission.more_hosts import MOST_ADDED, AddedHosts, MoreHosts
from rq_broker.api.move_views import MoveView
from rq_broker.domain import capacity
from rq_broker.domain.capacity import Amounts, AmountsOrDevices
from rq_broker.domain.decoding import convert
from rq_broker.domain.errors import Invalid
from rq_broker.domain.names import request_id_in
from rq_broker.domain.representation import Count, JsonObject
from rq_broker.domain.validation import Label, Name

MOST_KINDS = 10
"""Kinds of hosts that one what-if may add."""
MOST_NAMED = 100
"""Jobs that an answer names of those that would start, and of those whose ETA changes."""
NAME = "new"
"""The name of an imagined host that is like none."""


class HostsToAdd(Struct, forbid_unknown_fields=True):
    """Hosts that are not there, all alike: like one that is, or of this capacity."""

    count: Annotated[int, Meta(ge=1, le=MOST_ADDED)] = 1
    like: Name | None = None
    capacity: AmountsOrDevices | None = None
    aggregates: list[Label] | None = None
    traits: list[Label] | None = None


class HostsForecast(Struct, forbid_unknown_fields=True):
    """More hosts than there are."""

    add_hosts: Annotated[list[HostsToAdd], Meta(min_length=1, max_length=MOST_KINDS)]


def asks_for_hosts(body: Any) -> bool:
    """Return whether a what-if is of more hosts."""
    return isinstance(body, Mapping) and body.get("add_hosts") is not None


def added_hosts(body: Any) -> list[AddedHosts]:
    """Return the hosts that a what-if adds. Raises Invalid."""
    wanted = convert(body, HostsForecast).add_hosts
    if sum(some.count for some in wanted) > MOST_ADDED:
        raise Invalid(f"add_hosts must not add more than {MOST_ADDED} hosts in all")
    return [_added(some) for some in wanted]


def _added(some: HostsToAdd) -> AddedHosts:
    if (some.like is None) == (some.capacity is None):
        raise Invalid("add_hosts takes like or capacity, and one of them")
    if some.like is not None:
        if some.aggregates is not None or some.traits is not None:
            raise Invalid("aggregates and traits go with capacity, not with like")
        return AddedHosts(some.count, some.like)
    fields = {"capacity": some.capacity, "aggregates": some.aggregates, "traits": some.traits}
    given = {name: value for name, value in fields.items() if value is not None}
    return AddedHosts(some.count, host=capacity.new_host(NAME, given))


class StartingView(JsonObject, frozen=True):
    """A job that would start at once."""

    request_id: Annotated[
        str | None, Meta(description="null: another owner's, which is not named to you.")
    ]
    owner_id: str | None
    hosts: Annotated[
        list[str], Meta(description="Of each instance; an imagined one is named `<like>+1`.")
    ]


class MoreHostsView(JsonObject, frozen=True):
    """What would be granted with more hosts."""

    hosts: Annotated[Count, Meta(description="How many were added.")]
    granted: Annotated[
        Count, Meta(description="Jobs that would start at once, and do not without these hosts.")
    ]
    granted_anyway: Annotated[Count, Meta(description="Jobs that start at once without them too.")]
    is_complete: Annotated[
        bool, Meta(description="Whether these are all; if not, jobs further back may start too.")
    ]
    paused: Annotated[bool, Meta(description="Nothing is granted while the type is paused.")]
    amounts: Annotated[Amounts, Meta(description="What those that would start would have.")]
    jobs: Annotated[list[StartingView], Meta(description="The first 100 of them, in order.")]
    moves: Annotated[
        list[MoveView], Meta(description="ETAs that change, of the first job of each shape.")
    ]


def more_hosts_view(answer: MoreHosts, owners: Collection[str] | None) -> MoreHostsView:
    """Build the answer; `owners`: those whose jobs may be named, None for all."""

    def may_name(owner: str) -> bool:
        return owners is None or owner in owners

    moved = [change for change in answer.changes if change.direction]
    moves = [MoveView.of(change) for change in moved[:MOST_NAMED]]
    return MoreHostsView(
        len(answer.hosts),
        len(answer.granted),
        answer.anyway,
        answer.is_complete,
        answer.is_paused,
        answer.amounts,
        [
            StartingView(
                request_id_in(grant.head.request_id) if may_name(grant.shape.owner) else None,
                grant.shape.owner if may_name(grant.shape.owner) else None,
                list(grant.hosts),
            )
            for grant in answer.granted[:MOST_NAMED]
        ],
        [
            view if may_name(change.owner_id) else view.with_fields(request_id=None, owner_id=None)
            for view, change in zip(moves, moved, strict=False)
        ],
    )
