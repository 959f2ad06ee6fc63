"""What an explanation, or a what-if, tells somebody who may not know of other owners' jobs.

Sizes, counts and times stay, since they are what the job waits for. Names of jobs and owners go: a
name that may not be known is ''.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TypeVar

from rq_broker.admission.explain import ExplainedJob, ImaginedJob
from rq_broker.admission.holders import HeldAmount
from rq_broker.admission.move_preview import MovePreview
from rq_broker.delivery.outcome import coarse_cause
from rq_broker.domain.job_holds import JobHold
from rq_broker.domain.names import request_id_in
from rq_broker.domain.planning import Hold, OwnedJob
from rq_broker.planner import Explanation, ForecastChange

_Answer = TypeVar("_Answer", ExplainedJob, ImaginedJob)


def discreet_explanation(
    answer: ExplainedJob | JobHold, owners: Collection[str]
) -> ExplainedJob | JobHold:
    """Return an explanation as it is told to somebody who has these owners' jobs."""
    if not isinstance(answer, JobHold):
        return _discreet(answer, owners)
    if answer.callback is None:
        return answer
    # Exact causes would show which ports of a network are open.
    cause = coarse_cause(answer.callback.cause)
    return replace(answer, callback=replace(answer.callback, cause=cause))


def discreet_what_if(
    answer: ImaginedJob | MovePreview, owners: Collection[str]
) -> ImaginedJob | MovePreview:
    """Return a what-if as it is told to somebody who has these owners' jobs."""
    if isinstance(answer, MovePreview):
        changes = tuple(_change(change, owners) for change in answer.changes)
        return replace(answer, changes=changes)
    return _discreet(answer, owners)


def _discreet(answer: _Answer, owners: Collection[str]) -> _Answer:
    holders = [_held(held, owners) for held in answer.holders]
    return replace(answer, explanation=_explanation(answer.explanation, owners), holders=holders)


def _explanation(explanation: Explanation, owners: Collection[str]) -> Explanation:
    reason = explanation.reason
    return replace(
        explanation,
        reason=reason and reason.without_names(),
        awaited=tuple(_hold(hold, owners) for hold in explanation.awaited),
        passed_by=tuple(_passer(job, owners) for job in explanation.passed_by),
    )


def _name(request_id: str, owner: str, owners: Collection[str]) -> str:
    return request_id_in(request_id) if owner in owners else ""


def _held(held: HeldAmount, owners: Collection[str]) -> HeldAmount:
    name = _name(held.request_id, held.owner_id, owners)
    return replace(held, request_id=name, owner_id=held.owner_id if name else "")


def _hold(hold: Hold, owners: Collection[str]) -> Hold:
    return replace(hold, request_id=_name(hold.request_id, hold.owner, owners))


def _passer(job: OwnedJob, owners: Collection[str]) -> OwnedJob:
    return job._replace(request_id=_name(job.request_id, job.owner, owners))


def _change(change: ForecastChange, owners: Collection[str]) -> ForecastChange:
    name = _name(change.request_id, change.owner_id, owners)
    return replace(change, request_id=name, owner_id=change.owner_id if name else "")
