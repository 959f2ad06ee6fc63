"""Cancellation that a call has swallowed.

A call that gets its reply at the moment of its cancellation may return the reply all the same:
asyncio.wait_for of Python 3.11 does, and with it fakeredis. A loop around it would never end.
"""

from __future__ import annotations

import asyncio


def raise_if_cancelled() -> None:
    """Raise CancelledError if the running task was asked to stop."""
    task = asyncio.current_task()
    if task and task.cancelling():
        raise asyncio.CancelledError
