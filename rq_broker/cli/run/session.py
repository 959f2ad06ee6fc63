"""One run: hold capacity, run the command meanwhile, and say how it ended."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from types import FrameType
from typing import Any

import httpx

from rq_broker.cli.connecting import Connection
from rq_broker.cli.option_words import in_options
from rq_broker.cli.run.child import (
    FORWARDED,
    Child,
    EndIt,
    Happenings,
    Signalled,
)
from rq_broker.cli.run.handling import handling
from rq_broker.cli.run.interrupting import Interrupted, Interrupts
from rq_broker.cli.run.progress import Progress
from rq_broker.client import Client, Grant, HoldLost, NotGranted
from rq_broker.domain import errors

_NOT_GIVEN_BACK = "not given back: the broker ends the hold by itself"
_NOT_WITHDRAWN = "not withdrawn: the broker drops the job by itself"


class RunExit(IntEnum):
    """Exit codes of `run` beside those of the command; as `timeout`, `docker run` and shells do."""

    LOST = 123
    """The hold was lost while the command ran: somebody ended it, or its time had passed."""
    NOT_GRANTED = 124
    """The job was withdrawn by others, or ended in error, before it was granted."""
    REFUSED = 125
    """The broker refuses the job, or did not answer for `--outage`; nothing was run."""
    CANNOT_RUN = 126
    """The command is no program that can be run."""
    NOT_FOUND = 127
    """There is no such command."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be run, and on what.

    Args:
        type: The queue's name.
        name: The job's request_id.
        need: The instances, each resource → amount.
        options: What else `hold` takes.
        command: The words of the command.
        grace: Seconds from SIGTERM to SIGKILL where the command is to end.
        outage: Seconds to wait for a broker that does not answer.
        quiet: Whether to tell only what went wrong.
    """

    type: str
    name: str
    need: Sequence[Mapping[str, Any]]
    options: Mapping[str, Any]
    command: Sequence[str]
    grace: float
    outage: float
    quiet: bool


def run_job(connection: Connection, job: Job) -> int:
    """Run a job; return the exit code."""
    if shutil.which(job.command[0]) is None and os.sep not in job.command[0]:
        # Better told at once than after the wait.
        Progress(job.name, lambda: None, quiet=True).fail(f"{job.command[0]}: command not found")
        return RunExit.NOT_FOUND
    with connection.client(retries=0) as asking:
        progress = Progress(f"{job.type}/{job.name}", lambda: _explanation(asking, job),
                            quiet=job.quiet)  # fmt: skip
        client = connection.client(
            retries=None,
            retry_for=job.outage,
            on_trouble=progress.trouble,
            on_warning=lambda warning: progress.tell(f"Warning: {warning}"),
        )
        interrupts = Interrupts(lambda: progress.is_away)
        with client:
            return _Session(client, connection.url, job, progress, interrupts).run()


def _explanation(client: Client, job: Job) -> dict[str, Any] | None:
    try:
        return client.explain(job.type, job.name, owner_id=job.options.get("owner_id") or "")
    except (errors.BrokerError, httpx.HTTPError):
        return None


class _Session:
    """One run, and what it has told."""

    def __init__(
        self, client: Client, url: str, job: Job, progress: Progress, interrupts: Interrupts
    ) -> None:
        self._client = client
        self._url = url
        self._job = job
        self._progress = progress
        self._interrupts = interrupts
        self._is_granted = False
        self._happenings: Happenings = Happenings()
        self._code: int | None = None
        """The exit code, once the command has ended."""

    def run(self) -> int:
        """Hold, run and give back."""
        progress, job = self._progress, self._job
        try:
            with (
                self._interrupts.raised(),
                self._client.hold(
                    job.type,
                    job.need,
                    request_id=job.name,
                    on_wait=progress.waiting,
                    on_lost=lambda _: self._happenings.put(EndIt()),
                    look_every=progress.look_every,
                    **job.options,
                ) as grant,
            ):
                self._is_granted = True
                progress.clear()
                progress.tell(f"{job.type}/{job.name} runs on {', '.join(grant.hosts)}")
                self._code = self._run_command(grant)
        except Interrupted as interruption:
            return self._interrupted(interruption)
        except HoldLost as lost:
            progress.fail(f"{job.type}/{job.name} is held no more: {lost}")
            return RunExit.LOST
        except NotGranted as refusal:
            progress.fail(str(refusal))
            return RunExit.NOT_GRANTED
        except (errors.BrokerError, httpx.HTTPError) as trouble:
            return self._failed(trouble)
        return self._code

    def _interrupted(self, interruption: Interrupted) -> int:
        """Tell what became of the job; return the exit code."""
        progress, name = self._progress, f"{self._job.type}/{self._job.name}"
        progress.clear()
        # Notes say that the last call failed.
        notes = getattr(interruption, "__notes__", ())
        is_told = not (notes or self._interrupts.was_cut or progress.is_away)
        if self._code is not None:
            progress.say(_NOT_GIVEN_BACK)
            return self._code
        if self._is_granted:
            progress.say(f"{name} is given back, nothing was run" if is_told else _NOT_GIVEN_BACK)
        else:
            progress.say(f"{name} is withdrawn" if is_told else _NOT_WITHDRAWN)
        return 128 + interruption.number

    def _failed(self, trouble: Exception) -> int:
        """Tell what the broker says, or that it does not answer; return the exit code."""
        if isinstance(trouble, errors.BrokerError):
            self._progress.fail(f"{in_options(str(trouble))} ({trouble.code})")
        else:
            why = str(trouble) or type(trouble).__name__
            self._progress.fail(f"no answer from {self._url}: {why} (unreachable)")
        if self._code is None:
            return RunExit.REFUSED
        self._progress.say(_NOT_GIVEN_BACK)
        return self._code

    def _run_command(self, grant: Grant) -> int:
        """Run the command while the grant is held; note in it how that ended."""
        command = self._job.command
        try:
            with _signals_to(self._happenings):
                try:
                    child = Child(command, _environment(grant), self._happenings, self._job.grace)
                    code = child.supervise()
                finally:
                    self._interrupts.is_last_call = True
        except OSError as error:
            grant.error = f"{command[0]}: {error.strerror}"
            self._progress.fail(grant.error)
            is_missing = isinstance(error, FileNotFoundError | NotADirectoryError)
            return RunExit.NOT_FOUND if is_missing else RunExit.CANNOT_RUN
        if code:
            grant.error = _how_it_ended(code)
        return code


def _how_it_ended(code: int) -> str:
    if code > 128:
        try:
            return f"ended by {signal.Signals(code - 128).name}"
        except ValueError:
            pass
    return f"exit code {code}"


def variables(grant: Grant) -> dict[str, str]:
    """Return what the command's environment says of its grant."""
    return {
        "RQ_BROKER_HOSTS": ",".join(grant.hosts),
        "RQ_BROKER_REQUEST_ID": grant.request_id,
        "RQ_BROKER_FENCE": str(grant.fence),
        "RQ_BROKER_JOB_TYPE": grant.type,
    }


def _environment(grant: Grant) -> dict[str, str]:
    return {**os.environ, **variables(grant)}


@contextmanager
def _signals_to(happenings: Happenings) -> Iterator[None]:
    """Put signals among what happens while the command runs."""

    def note(number: int, _: FrameType | None) -> None:
        happenings.put(Signalled(number))

    with handling(FORWARDED, note):
        yield
