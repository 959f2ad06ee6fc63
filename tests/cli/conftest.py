"""How the tests of the commands run them: in this process, with the environment restored."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    """Restore the environment, in which `api` leaves its settings for worker processes."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)
