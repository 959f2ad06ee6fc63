"""Runs what the planner computes off the event loop, and lets types take turns by CPU time used.

A computation is a generator that yields between its steps. It begins on the loop, where short ones
end at once. A longer one goes on in the one thread of the process that plans, a slice at a time:
of the types that wait, the one that has used least CPU time is next, and goes on where it stopped.
So it is among the computations of one type.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

from rq_broker.planner import Steps

_Result = TypeVar("_Result")

SWITCH_SECONDS = 0.0001
"""How long the thread that plans may hold the interpreter before the thread of the event loop gets
it. Python's default of 5 ms would add up to 5 ms to each of the loop's steps. With 0.5 ms a submit
beside explanations takes 1.3 times as long as one alone, with 0.1 ms 1.2, with 0.05 ms 1.35."""
INLINE_SECONDS = 0.002
"""CPU time that a computation may take on the loop itself. Most plans need less, and then save a
change of threads; with more, a type with long plans delays others' callbacks by as much."""
SLICE_SECONDS = 0.01
"""CPU time after which another type has its turn: about what a short plan of another type waits."""
BURST_SECONDS = 0.3
"""Time for which the thread may plan without a pause, after it had nothing to do for as long.
So the preview of a move, for which somebody waits with a job in hand, takes its CPU time and not
twice that. With more, a process that answers clients is slow for longer."""
REMEMBERED_TYPES = 1000
"""Types whose use is remembered beyond their turn; of more, those that used least are forgotten."""


@dataclass(slots=True)
class _Task(Generic[_Result]):
    """A computation that goes on in the thread."""

    steps: Steps[_Result]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[_Result]
    seconds: float = 0.0
    """CPU time it has used so far."""


@dataclass(slots=True)
class _Account:
    """What a type has used, and what waits for its turn."""

    used: float = 0.0
    """Seconds of CPU time; one that comes back after a while begins at what the others have."""
    is_slow: bool = False
    """Whether its last computation took longer than INLINE_SECONDS."""
    tasks: list[_Task[Any]] = field(default_factory=list)


class Planning:
    """The computations of one process, over all types.

    They run in a thread, and not in a process of their own: snapshots need not be copied, and the
    loop handles nearly as many events beside it (18,000 a second where SWITCH_SECONDS was 0.5 ms;
    20,000 beside a process, 7,000 with Python's default of 5 ms).
    """

    def __init__(self, share: float = 1.0) -> None:
        """Take the share of its time that the thread may use: between slices it sleeps.

        The share holds over BURST_SECONDS and longer, not for each slice.
        """
        self._share = share
        self._pause_ends = 0.0
        """When the next pause ends, by the monotonic clock; in the past while the share is left."""
        self._accounts: dict[str, _Account] = {}
        self._least = 0.0
        """What the type used whose turn was last."""
        self._lock = threading.Lock()
        self._is_running = False
        self._thread: asyncio.Future[None] | None = None

    async def run(self, type_: str, steps: Steps[_Result], *, inline: bool = True) -> _Result:
        """Run a computation of a type to its end, and return its result.

        Args:
            type_: Whose turn it takes.
            steps: The computation; it is closed if the caller is cancelled.
            inline: Whether it may begin on the event loop: its first step has to be short.
        """
        account = self._account(type_)
        if inline and not account.is_slow and not account.tasks:
            started = time.perf_counter()
            try:
                while time.perf_counter() - started < INLINE_SECONDS:
                    next(steps)
            except StopIteration as end:
                account.used += time.perf_counter() - started
                result: _Result = end.value
                return result
            account.used += time.perf_counter() - started
        return await self._in_thread(account, steps)

    def _account(self, type_: str) -> _Account:
        with self._lock:
            account = self._accounts.get(type_)
            if account is None:
                if len(self._accounts) >= REMEMBERED_TYPES:
                    self._forget_idle()
                account = self._accounts[type_] = _Account(self._least)
            if not account.tasks:
                account.used = max(account.used, self._least)
            return account

    def _forget_idle(self) -> None:
        """Forget the half of the types without tasks that used least; they begin anew as equals."""
        idle = [type_ for type_, account in self._accounts.items() if not account.tasks]
        idle.sort(key=lambda type_: self._accounts[type_].used)
        for type_ in idle[: len(idle) // 2 + 1]:
            self._least = max(self._least, self._accounts.pop(type_).used)

    async def _in_thread(self, account: _Account, steps: Steps[_Result]) -> _Result:
        loop = asyncio.get_running_loop()
        task = _Task(steps, loop, loop.create_future())
        with self._lock:
            account.tasks.append(task)
            is_running, self._is_running = self._is_running, True
        if not is_running:
            sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_SECONDS))
            self._thread = loop.run_in_executor(None, self._work)
        result: _Result = await task.future
        return result

    def _work(self) -> None:
        """Run slices until nothing waits."""
        while True:
            with self._lock:
                waiting = [account for account in self._accounts.values() if account.tasks]
                if not waiting:
                    self._is_running = False
                    return
                account = min(waiting, key=lambda account: account.used)
                self._least = max(self._least, account.used)
                # An explanation of a type does not wait for the whole forecast of its line.
                task = min(account.tasks, key=lambda task: task.seconds)
            seconds, settle = _run_slice(task)
            with self._lock:
                account.used += seconds
                task.seconds += seconds
                account.is_slow = task.seconds > INLINE_SECONDS
                if settle:
                    account.tasks.remove(task)
            if settle:
                with suppress(RuntimeError):  # the loop is closed, and nobody waits
                    task.loop.call_soon_threadsafe(settle)
            self._pause(seconds)

    def _pause(self, seconds: float) -> None:
        """Sleep if the thread has used up its share; `seconds`: CPU time of its last slice."""
        if self._share < 1:
            now = time.monotonic()
            began = now - seconds
            self._pause_ends = max(self._pause_ends, began - BURST_SECONDS) + seconds / self._share
            if self._pause_ends > now:
                time.sleep(self._pause_ends - now)


def _run_slice(task: _Task[Any]) -> tuple[float, Callable[[], None] | None]:
    """Run a computation for a slice.

    Returns:
        The CPU time used; and, if it has ended, what gives its future the result.
    """
    started, seconds = time.thread_time(), 0.0
    settle: Callable[[], None]
    try:
        while seconds < SLICE_SECONDS:
            if task.future.cancelled():
                task.steps.close()
                return seconds, lambda: None
            next(task.steps)
            seconds = time.thread_time() - started
        return seconds, None
    except StopIteration as end:
        settle = partial(_settle, task.future, task.future.set_result, end.value)
    except BaseException as error:
        settle = partial(_settle, task.future, task.future.set_exception, error)
    return time.thread_time() - started, settle


def _settle(future: asyncio.Future[Any], set_: Callable[[Any], None], value: object) -> None:
    """Give a future its result, unless its caller has gone."""
    if not future.done():
        set_(value)
