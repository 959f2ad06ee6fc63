"""Fixtures of the tests of the client."""

from __future__ import annotations

import pytest


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the pauses that clients made, none of which takes time."""
    made: list[float] = []

    async def pause(seconds: float) -> None:
        made.append(seconds)

    monkeypatch.setattr("rq_broker.client.client.time.sleep", made.append)
    monkeypatch.setattr("rq_broker.client.async_client.asyncio.sleep", pause)
    return made
