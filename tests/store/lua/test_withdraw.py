"""withdraw.lua: the end of a job."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from rq_broker.domain.jobs import Status
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from rq_broker.store.keys import TYPES, Keys
from tests.making import TYPE, bring, submit
from tests.redis_reads import key_names


@pytest.mark.parametrize("status", list(Status))
async def test_withdraw_frees_both_names_in_every_status(
    broker: Broker, client: Redis, status: Status
) -> None:
    """A withdrawn job holds nothing, leaves no key, and frees its request_id and callback."""
    await bring(broker, status)
    await broker.withdraw(TYPE, "d")
    assert await audit(client, TYPE) == []
    assert not [host for host in await broker.hosts(TYPE) if host.held]
    suffixes = {key.removeprefix(Keys(TYPE).base) for key in await key_names(client)} - {TYPES}
    of_the_type = {"", ":events", ":wake", ":hosts", ":host:h1", ":holding_times", ":destinations"}
    assert suffixes - of_the_type == set()
    await submit(broker)
