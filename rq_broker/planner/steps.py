"""Computations in steps: a caller may do other work between two of them.

Each function that may take long is a generator that yields between its steps and returns its
result. The steps change nothing about the result.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

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
