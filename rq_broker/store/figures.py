"""Figures: what was counted of a type, as the scripts keep it in its base hash."""

from __future__ import annotations

from collections.abc import Mapping

from rq_broker.domain.figures import LEAST_SIZE, MOST_SIZE, WAIT_BOUNDS, Figures, Judged, Waits
from rq_broker.store.runner import Runner


async def read_figures(runner: Runner, type_: str) -> Figures:
    """Read what was counted of a type."""
    reply = await runner.run("figures", type_)
    counters = {name: int(text) for name, text in reply.counters.items() if text.isdecimal()}
    return Figures(
        reply.oldest / 1000,
        reply.breakers,
        counters.get("offers_missed", 0),
        judged_of(reply.counters, "forecasts_p50"),
        judged_of(reply.counters, "forecasts"),
        _waits(counters),
    )


def judged_of(settings: Mapping[str, str], name: str) -> Judged:
    """Return how many forecasts came true, by the base hash; a damaged count is 0."""
    kept, missed = (settings.get(f"{name}_{outcome}", "") for outcome in ("kept", "missed"))
    return Judged(int(kept) if kept.isdecimal() else 0, int(missed) if missed.isdecimal() else 0)


def _waits(counters: Mapping[str, int]) -> dict[int, Waits]:
    sizes = range(LEAST_SIZE, MOST_SIZE + 1)
    waits = {
        size: Waits(
            tuple(
                counters.get(f"wait:{size}:{bucket}", 0)
                for bucket in range(1, len(WAIT_BOUNDS) + 2)
            ),
            counters.get(f"wait:{size}:ms", 0) / 1000,
        )
        for size in sizes
    }
    return {size: counted for size, counted in waits.items() if counted.grants}
