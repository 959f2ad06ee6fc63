"""The rows of types."""

from __future__ import annotations

from collections.abc import Mapping

from rq_broker.api import roles
from rq_broker.api.operations import refusals
from rq_broker.api.operations.group import Example, Group
from rq_broker.api.operations.row import MERGE_PATCH, WARNING, Body, Operation
from rq_broker.api.summary_views import TypeSummaryView
from rq_broker.api.views import AcknowledgedView, Counts, EmptyView, TypeView
from rq_broker.domain import errors
from rq_broker.domain.policy import PolicyChange, PolicyPatch

_TYPE_NOTE = (
    "`Warning` names limits on resources that no host has, and spans that are too short to be met; "
    "it says if the type has no host and no job, as one whose name is misspelt."
)

OPERATIONS: Mapping[str, Operation] = {
    "types": Operation(
        dict[str, Counts], (errors.Unavailable,), group=Group.LOOK, order=50, access=roles.READ_TYPE
    ),
    "type_summaries": Operation(
        list[TypeSummaryView],
        (errors.Unavailable,),
        keys={
            "unread": {
                "type": "integer",
                "minimum": 0,
                "description": "Types that this process has not read yet: ask again.",
            }
        },
        note="One call for a page about all types. With more than 50 types a row may be some "
        "seconds old.",
        group=Group.LOOK,
        order=51,
        access=roles.READ_TYPE,
    ),
    "policy": Operation(
        TypeView,
        refusals.TYPE,
        keys=WARNING,
        note=_TYPE_NOTE,
        group=Group.STEER,
        order=20,
        access=roles.READ_TYPE,
    ),
    "set_policy": Operation(
        TypeView,
        (*refusals.TYPE, *refusals.BODY, errors.Conflict, errors.TooManyTypes),
        body=Body(PolicyChange, {"patience": 60}),
        keys=WARNING,
        note=f"A new span applies to the jobs that are there already. {_TYPE_NOTE}",
        makes_type=True,
        group=Group.STEER,
        order=21,
        access=roles.OPERATE,
    ),
    "patch_policy": Operation(
        TypeView,
        (*refusals.TYPE, *refusals.BODY, errors.Conflict, errors.TooManyTypes),
        body=Body(PolicyPatch, {"limits": {"lab-7": None}}, MERGE_PATCH),
        keys=WARNING,
        note="A field that is null becomes null, as with PUT; null within `limits`, `queue_limits` "
        f"or `share` removes that part. Of two at once, none is lost. {_TYPE_NOTE}",
        makes_type=True,
        group=Group.STEER,
        order=22,
        access=roles.OPERATE,
    ),
    "drop_type": Operation(
        EmptyView,
        (*refusals.TYPE, errors.TypeInUse),
        note="A 409 has what is `left`. A type that is used again begins with the default policy.",
        group=Group.STEER,
        order=23,
        examples=(Example(path={"type": "old-lab"}),),
        access=roles.OPERATE,
    ),
    "acknowledge_losses": Operation(
        AcknowledgedView,
        refusals.TYPE,
        note="Of all losses that /readyz shows of the type; later ones are told again.",
        order=90,
        access=roles.OPERATE,
    ),
}
