"""The redis-cli commands that the pages show, sent to a real Redis."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from rq_broker.store.broker import Broker
from tests.making import submit
from tests.pages import PAGES, commands

COMMANDS = [pair for text in PAGES.values() for pair in commands(text, "redis-cli")]


@pytest.mark.parametrize(("words", "reply"), COMMANDS, ids=lambda each: str(each[1:]))
async def test_a_command_reads_what_the_page_says(
    real_client: Redis, words: list[str], reply: str
) -> None:
    """With one job in the queue, each command finds its key, and the reply beside it if any."""
    await submit(Broker(real_client), "d")
    found = await real_client.execute_command(*words[1:])
    assert found
    assert not reply or found == [reply]
