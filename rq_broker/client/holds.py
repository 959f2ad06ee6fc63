"""The context managers of `hold`: a thread or a task renews while the body runs.

The rules stand in holding; here is only what differs between sync and async.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Protocol, TypeVar

import httpx

from rq_broker.client.flows import Flow
from rq_broker.client.grants import Grant, HoldLost, NotGranted
from rq_broker.client.holding import acquire, drop, give_back
from rq_broker.client.wishes import Wish
from rq_broker.domain import errors

Result = TypeVar("Result")

_JOIN_SECONDS = 2.0
"""How long the end of a hold waits for the thread that renewed it. The thread ends at once, unless
the API does not answer; it is a daemon, so it keeps no process alive."""
_log = logging.getLogger(__name__)
_TROUBLE = (errors.BrokerError, httpx.HTTPError)


class Run(Protocol):
    """Carries out a flow."""

    def __call__(self, flow: Flow[Result]) -> Result: ...  # noqa: D102 - its class says it


class RunAsync(Protocol):
    """Carries out a flow."""

    async def __call__(self, flow: Flow[Result]) -> Result: ...  # noqa: D102 - its class says it


Keep = Callable[[Grant, Callable[[float], None]], HoldLost]
"""Renews a grant until it is lost; pauses by the function it is given."""
KeepAsync = Callable[[Grant], Coroutine[Any, Any, HoldLost]]
"""The same."""


class _Stopped(Exception):
    """The hold has ended, so nothing is to be renewed."""


class _Keeper:
    """Renews a grant in a thread."""

    def __init__(
        self, keep: Keep, grant: Grant, on_lost: Callable[[HoldLost], None] | None
    ) -> None:
        self._renew = keep
        self._grant = grant
        self._on_lost = on_lost
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="rq-broker-hold", daemon=True)

    def start(self) -> None:
        """Begin to renew."""
        self._thread.start()

    def _pause(self, seconds: float) -> None:
        if self._ended.wait(seconds):
            raise _Stopped

    def _keep(self) -> None:
        try:
            lost = self._renew(self._grant, self._pause)
        except _Stopped:
            return
        except Exception as error:
            if self._ended.is_set():  # the client was closed
                return
            lost = HoldLost(f"the hold cannot be renewed: {error!r}")
        if not self._ended.is_set():
            self._grant.lost = lost
            if self._on_lost:
                self._on_lost(lost)

    def stop(self) -> None:
        """Renew no more; a loss is not told any more either."""
        self._ended.set()

    def join(self) -> None:
        """Wait until the thread has ended, if it began."""
        if self._thread.ident is not None:
            self._thread.join(_JOIN_SECONDS)


@contextmanager
def held(run: Run, keep: Keep, asked: Wish) -> Iterator[Grant]:
    """Hold what is asked for while the body runs; see Client.hold."""
    try:
        grant = run(acquire(asked))
    except NotGranted:
        raise
    except BaseException as error:
        try:
            run(drop(asked))
        except _TROUBLE as trouble:
            _note_withdrawal(error, asked, trouble)
        raise
    keeper = _Keeper(keep, grant, asked.on_lost)
    try:
        keeper.start()  # a signal's exception from here on gives the grant back
        yield grant
    except BaseException as error:
        keeper.stop()
        _note(grant, error)
        try:
            run(give_back(grant))
        except _TROUBLE as trouble:
            _note_trouble(error, f"{asked.name} could not be given back: {trouble}")
        keeper.join()
        raise
    keeper.stop()
    try:
        run(give_back(grant))
    finally:
        keeper.join()
    grant.check()


def _note_withdrawal(error: BaseException, asked: Wish, trouble: Exception) -> None:
    """Tell that a job could not be withdrawn; only as a note where nobody said that it is there."""
    sentence = f"{asked.name} could not be withdrawn: {trouble}"
    if asked.is_stored:
        _note_trouble(error, sentence)
    else:
        error.add_note(sentence)


def _note_trouble(error: BaseException, sentence: str) -> None:
    """Tell what could not be done after an error: in the log, and as a note of that error."""
    _log.warning("%s", sentence)
    error.add_note(sentence)


def _note(grant: Grant, error: BaseException) -> None:
    """Give the job the exception as its error, unless the body has set one."""
    if grant.error is None:
        grant.error = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


@asynccontextmanager
async def held_async(run: RunAsync, keep: KeepAsync, asked: Wish) -> AsyncIterator[Grant]:
    """Hold what is asked for while the body runs; see AsyncClient.hold."""
    try:
        grant = await run(acquire(asked))
    except NotGranted:
        raise
    except BaseException as error:
        try:
            await run(drop(asked))
        except _TROUBLE as trouble:
            _note_withdrawal(error, asked, trouble)
        raise
    body = _Body(grant, asked.on_lost)
    keeper = asyncio.create_task(keep(grant), name="rq-broker-hold")
    keeper.add_done_callback(body.kept)
    try:
        yield grant
    except BaseException as error:
        ended_by_loss = await body.leave(error)
        keeper.cancel()
        _note(grant, error)
        try:
            await run(give_back(grant))
        except _TROUBLE as trouble:
            _note_trouble(error, f"{asked.name} could not be given back: {trouble}")
        if ended_by_loss:
            grant.check()
        raise
    await body.leave(None)
    keeper.cancel()
    await run(give_back(grant))
    grant.check()


class _Body:
    """The body of an async hold: a loss cancels it, as `asyncio.timeout` does."""

    def __init__(self, grant: Grant, on_lost: Callable[[HoldLost], None] | None) -> None:
        task = asyncio.current_task()
        assert task, "a hold is in a task"
        self._task = task
        self._cancelling = task.cancelling()
        self._grant = grant
        self._on_lost = on_lost
        self._has_ended = False
        self._was_cancelled = False

    def kept(self, keeper: asyncio.Task[HoldLost]) -> None:
        """Cancel the body if its hold was lost."""
        if self._has_ended or keeper.cancelled():
            return
        error = keeper.exception()
        self._grant.lost = lost = (
            HoldLost(f"the hold cannot be renewed: {error!r}") if error else keeper.result()
        )
        self._was_cancelled = self._task.cancel()
        if self._on_lost:
            self._on_lost(lost)

    async def leave(self, error: BaseException | None) -> bool:
        """Return whether the loss ended the body; takes back a cancellation that came too late."""
        self._has_ended = True
        if not self._was_cancelled:
            return False
        if not isinstance(error, asyncio.CancelledError):
            try:
                await asyncio.sleep(0)  # where the cancellation arrives
            except asyncio.CancelledError as late:
                error = late
        is_ours = self._task.uncancel() <= self._cancelling
        return is_ours and isinstance(error, asyncio.CancelledError)
