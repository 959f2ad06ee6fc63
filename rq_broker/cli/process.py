"""How a long-running command runs: its event loop, its end at a signal, its garbage collector."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import multiprocessing
import os
import resource
import signal
import threading
import time
from collections.abc import Coroutine
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGINT)
"""What ends a process in an orderly way: the supervisor's signal, and Ctrl-C."""

_MOST_DESCRIPTORS = 65_536
"""File descriptors up to which a process raises its own limit. One process does not use more, and
some systems allow a billion."""
_EXIT_SECONDS = 10.0
"""Seconds after the grace in which a worker without a supervisor ends in order."""

_log = logging.getLogger(__name__)


def run_loop(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine on uvloop where it is installed, else on asyncio's own loop."""
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        asyncio.run(work)
    else:
        uvloop.run(work)


async def until_signal(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine until it ends; SIGTERM and SIGINT cancel it and wait for its clean-up."""
    task = asyncio.create_task(work)
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


def end_with_parent(grace: float) -> None:
    """Stop this process, as SIGTERM does, when the process that started it as a worker dies.

    A supervisor killed by SIGKILL cannot stop its workers, and they would keep the port.

    Args:
        grace: Seconds that requests under way have to end; some seconds later it ends anyhow.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        _log.warning("the process that supervises the workers is gone: worker %d ends", os.getpid())
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(grace + _EXIT_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="parent watch", daemon=True).start()


def freeze_garbage() -> None:
    """Exclude the objects that live as long as the process from full garbage collections.

    Each full collection would scan all imported modules: a pause of some 40 ms.
    """
    gc.collect()
    gc.freeze()


def raised_descriptor_limit() -> int:
    """Raise the process's limit of open files as far as it may; returns the limit.

    The usual soft limit of 1,024 is there for programs that call select(), which this does not.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _MOST_DESCRIPTORS)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return min(soft, wanted) if soft != resource.RLIM_INFINITY else wanted
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):  # macOS refuses some limits below the hard one
        return soft
    return wanted
