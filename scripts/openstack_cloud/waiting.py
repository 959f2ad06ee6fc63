"""Waits for what another process does."""

from __future__ import annotations

import time
from collections.abc import Callable

SECONDS = 180.0
"""How long a step of a cloud may take on a busy machine before it counts as failed."""


def until(condition: Callable[[], bool], description: str, seconds: float = SECONDS) -> None:
    """Wait until a condition holds.

    Raises:
        TimeoutError: It does not hold within `seconds`; names the description.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{description}: not there within {seconds:.0f} s")
        time.sleep(0.1)
