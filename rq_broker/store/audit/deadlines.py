"""Checks that each job has a deadline whose time in its status ends."""

from __future__ import annotations

from rq_broker.domain.jobs import Status
from rq_broker.domain.status_words import in_words
from rq_broker.store.audit.walk import ListedJob, Walk


def check_deadline(walk: Walk, job: ListedJob, rule: str) -> None:
    """Check one job by the rule of its status, see audit_jobs.lua.

    While deadlines are counted anew after a change of the policy, a job may still lack its own.
    Raises ValueError if the job cannot be read.
    """
    if not job.fields:
        return
    has_one = "deadlines" in job.row.indexes
    has_own = job.status == Status.RUNNING and "hold_at_most" in job.fields
    if rule == "all" or (has_own and rule != "any"):
        walk.check(has_one, job.subject, _text(job.status))
    elif rule == "newer":
        since = int(job.fields.get("renewed") or job.fields.get("running_since") or 0)
        if has_one:
            walk.tally.first_with_deadline = min(walk.tally.first_with_deadline, since)
        else:
            walk.tally.without_deadline[job.member] = since


def check_running_deadlines(walk: Walk) -> None:
    """Check the jobs that the policy's default ends.

    It ends those that began to run since it is the default. So one without a deadline is a fault
    only if one that runs for longer has one.
    """
    tally = walk.tally
    for member, since in tally.without_deadline.items():
        walk.check(since <= tally.first_with_deadline, f"job {member}", _text(Status.RUNNING))


def _text(status: str) -> str:
    return f"is {in_words(status)} but has no deadline, so nothing ends that"
