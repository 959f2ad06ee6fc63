"""audit_owner.lua: what the jobs in the set of an owner take, and which of them no status lists."""

from __future__ import annotations

from redis.asyncio import Redis

from rq_broker.domain.jobs import Status
from rq_broker.store.audit.walk import Walk
from rq_broker.store.broker import Broker
from rq_broker.store.keys import Keys
from tests.making import TYPE, submit

KEYS = Keys(TYPE)
OWNED = KEYS.of("owner", "lab")


async def test_those_that_wait_and_the_bytes_of_all_are_counted(
    broker: Broker, client: Redis
) -> None:
    """An ended job takes bytes and waits no more; the jobs of others do not count."""
    for name, owner in (("a", "lab"), ("b", "lab"), ("c", "other")):
        await submit(broker, name, owner_id=owner)
    await broker.transition(TYPE, "b", Status.DONE)
    sizes = [int(await client.hget(KEYS.of("job", name), "bytes") or 0) for name in "ab"]
    page = await Walk(client, TYPE).owner_page("lab", "0")
    assert (page.cursor, page.waiting, int(page.bytes), page.unlisted) == ("0", 1, sum(sizes), [])


async def test_members_that_no_status_lists_are_named(broker: Broker, client: Redis) -> None:
    """A member without a job is named, and so is one that the status of its job does not list."""
    job = await submit(broker, "a", owner_id="lab")
    listed = f"{job.id:016d}:a"
    await client.zadd(OWNED, {"0000000000000099:gone": 1})
    await client.zrem(KEYS.of("status", Status.QUEUED), listed)
    page = await Walk(client, TYPE).owner_page("lab", "0")
    assert set(page.unlisted) == {listed, "0000000000000099:gone"}


async def test_many_jobs_are_read_in_pages(broker: Broker, client: Redis) -> None:
    """The pages up to the cursor 0 count each of an owner's 300 jobs."""
    for number in range(300):
        await submit(broker, f"r{number}", owner_id="lab")
    walk, cursors, waiting = Walk(client, TYPE), ["0"], 0
    while cursors[-1] != "0" or len(cursors) == 1:
        page = await walk.owner_page("lab", cursors[-1])
        cursors.append(page.cursor)
        waiting += page.waiting
    assert (waiting, len(cursors) > 2) == (300, True)


async def test_a_set_of_another_kind_has_no_jobs(client: Redis) -> None:
    """A key that is no sorted set is read as an empty one: another check names it."""
    await client.set(OWNED, "x")
    page = await Walk(client, TYPE).owner_page("lab", "0")
    assert (page.cursor, page.waiting, page.bytes, page.unlisted) == ("0", 0, "0", [])
