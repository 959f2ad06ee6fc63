"""The exit codes of the commands that speak HTTP, and how they tell that something went wrong."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from http import HTTPStatus
from typing import TypeVar

import click

from rq_broker.cli.option_words import in_options
from rq_broker.domain import errors

_Item = TypeVar("_Item")


class ExitCode(IntEnum):
    """What a script may decide by; the codes keep their meaning."""

    DONE = 0
    REFUSED = 1
    """The broker refuses, for a reason that has no code of its own below."""
    USAGE = 2
    """The command line, the configuration, or a value in it is wrong; as click has it."""
    UNREACHABLE = 3
    """No API answers, or it cannot reach its store: the same call may succeed later. Of a call that
    changes something it is not known whether it was carried out."""
    NOT_FOUND = 4
    """There is no such job, host, source or path."""
    NOT_ALLOWED = 5
    """The token is missing or wrong, or its identity may not do this."""
    CONFLICT = 6
    """The state of things forbids it: the name is taken, the job is not queued any more, …"""
    PIPE_CLOSED = 141
    """Whoever read the output went away, as `head` does; what a shell tells of SIGPIPE."""


_CODES: tuple[tuple[type[errors.BrokerError], ExitCode], ...] = (
    (errors.Unavailable, ExitCode.UNREACHABLE),
    (errors.Invalid, ExitCode.USAGE),
    (errors.NotFound, ExitCode.NOT_FOUND),
    (errors.Unauthenticated, ExitCode.NOT_ALLOWED),
    (errors.Forbidden, ExitCode.NOT_ALLOWED),
    (errors.Conflict, ExitCode.CONFLICT),
    (errors.ChangedMeanwhile, ExitCode.CONFLICT),
)


def exit_code_of(error: errors.BrokerError) -> ExitCode:
    """Return the exit code that tells of a refusal."""
    if error.status in (502, 503, 504):
        return ExitCode.UNREACHABLE
    return next((code for kind, code in _CODES if isinstance(error, kind)), ExitCode.REFUSED)


@contextmanager
def told_as_exits(url: str) -> Iterator[None]:
    """End the command by an exit code where the broker refuses or does not answer.

    Args:
        url: Whom the command calls, for the sentence.
    """
    import httpx  # noqa: PLC0415 - slow to import, and --help does without

    try:
        yield
    except errors.BrokerError as error:
        raise _refused(error) from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        why = str(error) or type(error).__name__
        sentence = f"no answer from {url}: {why}"
        raise _ended(ExitCode.UNREACHABLE, sentence, "unreachable") from error
    except BrokenPipeError:
        # Python would complain once more when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(ExitCode.PIPE_CLOSED) from None


def _refused(error: errors.BrokerError, whose: str = "") -> SystemExit:
    """Say why the broker refuses, and how a token is given; return what ends the process."""
    ended = _ended(exit_code_of(error), whose + in_options(str(error)), error.code)
    if error.status == HTTPStatus.UNAUTHORIZED:
        click.echo("Give the token by RQ_BROKER_TOKEN, by --token-file, or in a profile.", err=True)
    return ended


def _ended(exit_code: ExitCode, sentence: str, code: str) -> SystemExit:
    """Say what went wrong, with its code for programs; return what ends the process."""
    click.echo(f"Error: {sentence.removesuffix('.')} ({code})", err=True)
    return SystemExit(exit_code)


def each_told(
    items: Iterable[_Item],
    work: Callable[[_Item], None],
    name_of: Callable[[_Item], str] | None = None,
) -> None:
    """Do something with each item, and tell each refusal; ends by the code of the first one.

    Only a broker that does not answer keeps the later ones from being tried.

    Args:
        items: What to do it with.
        work: Does it; raises BrokerError where it is refused.
        name_of: Names an item before its refusal, where there are several.
    """
    from rq_broker.cli.output.text import harmless  # noqa: PLC0415 - not needed by --help

    first: SystemExit | None = None
    for item in items:
        try:
            work(item)
        except errors.BrokerError as error:
            whose = f"{harmless(name_of(item))}: " if name_of else ""
            ended = _refused(error, whose)
            first = first or ended
            if ended.code == ExitCode.UNREACHABLE:
                break
    if first is not None:
        raise first
