"""The bounds by which grants count waits, as Lua: what domain/figures.py declares."""

from __future__ import annotations

from rq_broker.domain.figures import LEAST_SIZE, MOST_SIZE, WAIT_BOUNDS


def lua_wait_bounds() -> str:
    """Write the Lua constants by which waits are counted."""
    bounds = ", ".join(str(1000 * seconds) for seconds in WAIT_BOUNDS)
    return (
        f"local WAIT_BOUNDS_MS = {{ {bounds} }}\n"
        f"local LEAST_SIZE, MOST_SIZE = {LEAST_SIZE}, {MOST_SIZE}\n"
    )
