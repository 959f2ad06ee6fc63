"""Arrays over HTTP: the calls on jobs, where `name[*]` as request_id means a whole array."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from rq_broker.admission.submit_warning import SubmitWarnings
from rq_broker.admission.waiting_reason import ReasonReader
from rq_broker.api import bodies
from rq_broker.api.array_view import ArrayView
from rq_broker.api.idempotency import REPLAYED
from rq_broker.api.own import check_array, limits_of, owners_of
from rq_broker.api.paths import job_of, location
from rq_broker.api.reason_fields import warned_of, why_fields
from rq_broker.api.responses import created, warned
from rq_broker.domain import errors
from rq_broker.domain.arrays import Array, ArraySubmission, array_of
from rq_broker.domain.job_log import log_job, logs_jobs
from rq_broker.store.broker import Broker


class ArrayCalls:
    """What the endpoints of jobs do with an array."""

    def __init__(self, broker: Broker, reasons: ReasonReader, warnings: SubmitWarnings) -> None:
        self._broker = broker
        self._reasons = reasons
        self._warnings = warnings

    async def find(self, request: Request) -> Array | None:
        """Return the array that a request's path stands for; None if it names a job."""
        return await find_array(self._broker, *job_of(request), owners_of(request))

    async def submit(
        self, request: Request, type_: str, new: ArraySubmission, key: str
    ) -> Response:
        """Submit an array."""
        check_array(request, new)
        array = await self._broker.submit_array(type_, new, key, limits_of(request))
        if logs_jobs():
            jobs, again = array.count, array.replayed or None
            log_job("array.submitted", type_, array.request_id, jobs=jobs, replayed=again)
        warnings = await self._warnings.warnings(new.shape(0).demand, array, new.data.fill(0))
        view: ArrayView = ArrayView.of(array)
        if warnings.job:
            view = view.with_fields(**warned_of(warnings.job))
        headers = [REPLAYED] if array.replayed else []
        path = location(request, "v1", type_, array.request_id)
        return created(view, path, headers, **warned(warnings.beside))

    async def read(self, request: Request, array: Array) -> ArrayView:
        """Return the view of an array, with the reason why its first job waits."""
        view: ArrayView = ArrayView.of(array)
        if array.waiting is None:
            return view
        try:
            job = await self._broker.read(array.type, array.waiting)
        except errors.JobNotFound:
            return view
        discreet = limits_of(request) is not None
        reason = await self._reasons.reason(array.type, job, discreet=discreet)
        return view.with_fields(**why_fields(reason))

    async def update(self, request: Request, array: Array, change: Any) -> None:
        """Reorder an array. Raises Invalid for an update of another kind."""
        if not isinstance(change, bodies.Reorder):
            raise errors.Invalid(
                f"{array.request_id} takes priority, before, after or position; its jobs take the "
                "rest: end or requeue all of them by POST /types/{type}/actions"
            )
        if change.mode == "place":
            raise errors.Invalid(
                "position: an array goes to the front or the back, or before or after a job; only "
                "a single job goes to a number"
            )
        if (limits := limits_of(request)) is None:
            await self._broker.reorder_array(array, change.mode, change.value)
        else:
            owners = owners_of(request) or limits
            await self._broker.reorder_own_array(array, change.mode, change.value, owners)

    async def withdraw(self, request: Request, array: Array, key: str) -> bool:
        """Withdraw an array; returns whether an earlier call with the key did."""
        return await self._broker.withdraw_array(array, key, owners_of(request))


async def find_array(
    broker: Broker, type_: str, request_id: str, owners: Collection[str] | None
) -> Array | None:
    """Return the array that a request_id stands for; None if it names a job."""
    name = array_of(request_id)
    if name is None:
        return None
    try:
        return await broker.read_array(type_, name, owners)
    except errors.JobNotFound:
        return None
