"""Handlers of signals for a while."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any


@contextmanager
def handling(numbers: Sequence[signal.Signals], handler: Any, then: Any = None) -> Iterator[None]:
    """Handle signals; those that this process was started to ignore, as by nohup, stay so.

    Args:
        then: The handler after that; None for the one of before.
    """
    old = {number: signal.getsignal(number) for number in numbers}
    old = {number: action for number, action in old.items() if action is not signal.SIG_IGN}
    for number in old:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, action in old.items():
            signal.signal(number, then or action)
