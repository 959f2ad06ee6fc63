"""Computations in steps: a caller may do other work between two of them.

Each function that may take long is a generator that yields between its steps and returns its
result. The steps change nothing about the result.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Generic, TypeVar

_Result = TypeVar("_Result")
Steps = Generator[None, None, _Result]


def run_all(steps: Steps[_Result]) -> _Result:
    """Run a computation to its end, and return its result."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: _Result = end.value
            return result


class TimedSteps(Generic[_Result]):
    """A computation that counts the CPU time which its steps take."""

    def __init__(self, steps: Steps[_Result]) -> None:
        self.seconds = 0.0
        """CPU time of the steps so far, of the thread that runs them."""
        self._steps = steps

    def steps(self) -> Steps[_Result]:
        """Run the computation; on a busy machine far more time passes than is counted."""
        while True:
            started = time.thread_time()
            try:
                next(self._steps)
            except StopIteration as end:
                result: _Result = end.value
                return result
            finally:
                self.seconds += time.thread_time() - started
            yield
