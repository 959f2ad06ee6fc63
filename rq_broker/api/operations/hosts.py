"""The rows of hosts and their sources."""

from __future__ import annotations

from collections.abc import Mapping

from rq_broker.api import roles
from rq_broker.api.holder_views import HostHolderView, ReservedView
from rq_broker.api.host_totals import Totals
from rq_broker.api.operations import refusals
from rq_broker.api.operations.row import MERGE_PATCH, WARNING, Body, Operation
from rq_broker.api.views import EmptyView, HostView, SourceView
from rq_broker.domain import errors
from rq_broker.domain.capacity import HostPatch, NewHost

_HOST_BODY = {"capacity": {"VCPU": 64, "Memory": 65536}, "used": {}, "aggregates": ["host1"]}

OPERATIONS: Mapping[str, Operation] = {
    "hosts": Operation((list[HostView], Totals), refusals.TYPE, order=10, access=roles.LIST_HOSTS),
    "host": Operation(HostView, refusals.HOST, order=12, access=roles.READ_HOST),
    "set_host": Operation(
        HostView,
        (
            *(*refusals.HOST, *refusals.BODY, errors.Conflict, errors.OlderNotifiers),
            *(errors.TooManyHosts, errors.TooManyTypes),
        ),
        statuses=(200, 201),
        body=Body(NewHost, _HOST_BODY),
        keys=WARNING,
        note="409 if a source reports the host. `Warning` says if its units leave nothing to any "
        "instance, or more is used or held than is there.",
        makes_type=True,
        order=11,
        access=roles.PUBLISH,
    ),
    "patch_host": Operation(
        HostView,
        (*refusals.HOST, *refusals.BODY, errors.Conflict, errors.OlderNotifiers),
        body=Body(HostPatch, {"capacity": {"VCPU": 32}}, MERGE_PATCH),
        keys=WARNING,
        note="Resources that are not named keep their amounts; null removes one. A list replaces "
        "the list that there is. Of two patches at once, none is lost. 409 if a source reports the "
        "host.",
        order=13,
        access=roles.PUBLISH,
    ),
    "drop_host": Operation(
        EmptyView,
        refusals.HOST,
        note="If a source reports the host, its next snapshot puts it back.",
        order=14,
        access=roles.PUBLISH,
    ),
    "host_holders": Operation(
        list[HostHolderView],
        refusals.HOST,
        note="Those whose expected end comes first, first.",
        order=12,
        access=roles.READ,
    ),
    "reservations": Operation(
        list[ReservedView],
        (*refusals.TYPE, errors.TooManyQuestions),
        note="Every pass finds start and hosts anew. Empty unless some job has been passed for the "
        "policy's `patience`.",
        order=13,
        access=roles.READ,
    ),
    "sources": Operation(list[SourceView], refusals.TYPE, order=15, access=roles.READ),
    "forget_source": Operation(
        EmptyView,
        (*refusals.TYPE, errors.SourceNotFound, errors.Conflict),
        note="Its hosts go out of service. 409 while a notifier polls it.",
        order=16,
        access=roles.OPERATE,
    ),
}
