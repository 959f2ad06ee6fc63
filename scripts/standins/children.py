"""What the child processes of the servers here have in common."""

from __future__ import annotations

import os

_COVERAGE = ("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START")
"""Variables that would measure a child, which runs no code of ours and answers slowly then."""


def unmeasured() -> dict[str, str]:
    """Return the environment for a child, in which no coverage is measured."""
    return {name: value for name, value in os.environ.items() if name not in _COVERAGE}
