"""How the tests of the commands run them: in this process, restored to what it was."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from rq_broker.cli.run.interrupting import INTERRUPTING


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    """Restore the environment, in which `api` leaves its settings for worker processes."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """Restore what signals do, of which `run` has some ignored from its end on."""
    before = {number: signal.getsignal(number) for number in INTERRUPTING}
    yield
    for number, action in before.items():
        signal.signal(number, action)
