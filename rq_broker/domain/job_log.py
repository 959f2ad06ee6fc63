"""The lines of the log about single jobs: `job.submitted`, `job.granted`, `job.callback`.

Their fields join what several processes did for one job. `--log-format json` turns them on, as
does `--log-level debug`: see `cli/log_lines.py`.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from rq_broker.domain.names import request_id_in

if TYPE_CHECKING:
    from rq_broker.domain.jobs import Job  # `rq-broker --help` reads this module without it

JOB_LOG = "rq_broker.jobs"
"""Name of the logger."""
_log = logging.getLogger(JOB_LOG)


def logs_jobs() -> bool:
    """Return whether these lines are written: callers ask first, as most processes write none."""
    return _log.isEnabledFor(logging.INFO)


def log_job(event: str, type_: str, name: str, **fields: object) -> None:
    """Log what happened to a job, by its name; fields that are None or '' are left out."""
    name = request_id_in(name)
    known = {name: value for name, value in fields.items() if value not in (None, "")}
    _log.info(event, extra={"fields": {"type": type_, "request_id": name, **known}})


def log_submitted(job: Job) -> None:
    """Log that a job was submitted, or that a repeated submit found it, where such lines are on."""
    if logs_jobs():
        again = job.replayed or None
        log_job("job.submitted", job.type, job.request_id, id=job.id, replayed=again)
