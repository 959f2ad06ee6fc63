"""Events of a type, as they are followed: each once, in order, and a gap is told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from rq_broker.domain.events import DELETED, LOST, Event
from rq_broker.domain.identity import ACTOR, Actor
from rq_broker.domain.jobs import Status
from rq_broker.store import event_feed, event_hub
from rq_broker.store.broker import Broker
from rq_broker.store.event_feed import MOST_KEPT, Follower
from rq_broker.store.keys import Keys
from tests.making import TYPE, bring, grant, publish, submit

KEY = Keys(TYPE).of("events")


async def entry_ids(client: Redis) -> list[str]:
    entries: Any = await client.xrange(KEY)
    return [id_ for id_, _ in entries]


async def words(follower: Follower, count: int) -> list[str]:
    """Return the words of the next events, so many at least."""
    return [event.word for event in await following(follower, count)]


async def following(follower: Follower, count: int) -> list[Event]:
    events: list[Event] = []
    async with asyncio.timeout(30):
        while len(events) < count:
            await follower.wait()
            events += follower.events()
    return events


async def test_an_event_says_who_changed_what(broker: Broker) -> None:
    """A follower gets what happens from then on: from which status, to which, by whom, of whom."""
    await submit(broker, "earlier")
    async with broker.events.follow(TYPE) as follower:
        token = ACTOR.set(Actor("token:ci"))
        job = await submit(broker)
        ACTOR.reset(token)
        await publish(broker)
        await grant(broker, job)
        await broker.withdraw(TYPE, "d")
        events = await following(follower, 3)
    assert [(each.word, each.old_status, each.new_status, each.by) for each in events] == [
        ("queued", None, Status.QUEUED, "token:ci"),
        ("granted", Status.QUEUED, Status.GRANTED, ""),
        (DELETED, Status.GRANTED, None, ""),
    ]
    assert {(each.name, each.job_id, each.owner, each.type) for each in events} == {
        ("d", job.id, "o", TYPE)
    }
    places = [each.place for each in events]
    assert places == sorted(set(places))
    assert abs(events[0].at - job.created) < 60_000_000


async def test_one_job_is_followed_alone(broker: Broker) -> None:
    """A follower of one job gets its events only."""
    job = await submit(broker)
    async with broker.events.follow(TYPE) as follower:
        await submit(broker, "other")
        follower.narrow(job.id)
        await submit(broker, "another")
        await broker.transition(TYPE, "d", Status.RUNNING)
        assert await words(follower, 1) == ["running"]


async def test_many_types_are_followed_over_one_connection(real_client: Redis) -> None:
    """A hundred types with ten followers each: one connection, and a call for what changed."""
    broker = Broker(real_client)
    await broker.ping()
    before = int((await real_client.info("clients"))["connected_clients"])
    contexts = [broker.events.follow(f"t{number % 100}") for number in range(1000)]
    followers = [await context.__aenter__() for context in contexts]
    assert int((await real_client.info("clients"))["connected_clients"]) <= before + 3
    await submit(broker, "d", "t7")
    got = await asyncio.gather(*(words(each, 1) for each in followers[7::100]))
    assert got == [["queued"]] * 10
    assert not any(each.events() for each in followers[8::100])
    for context in contexts:
        await context.__aexit__(None, None, None)
    await broker.events.aclose()


async def test_reading_stops_when_nobody_follows(
    real_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some time after the last follower has left, the connection is closed."""
    monkeypatch.setattr(event_hub, "BEAT_SECONDS", 0.01)
    monkeypatch.setattr(event_hub, "LINGER_SECONDS", 0.02)
    broker = Broker(real_client)
    async with broker.events.follow(TYPE):
        assert any(
            "tracking" in each["cmd"] or "t" in each["flags"] for each in await clients(real_client)
        )
    async with asyncio.timeout(30):
        while any("t" in each["flags"] for each in await clients(real_client)):
            await asyncio.sleep(0.01)
    async with broker.events.follow(TYPE) as follower:
        await submit(broker)
        assert await words(follower, 1) == ["queued"]


async def clients(client: Redis) -> list[dict[str, Any]]:
    return [dict(each) for each in await client.client_list()]


async def test_a_trimmed_stream_is_a_gap(broker: Broker, client: Redis) -> None:
    """Where the last event that was read is gone, followers are told; later ones follow."""
    job = await submit(broker)
    async with broker.events.follow(TYPE) as all_events, broker.events.follow(TYPE) as of_job:
        of_job.narrow(job.id)
        pipe = client.pipeline(transaction=True)
        for number in range(3):
            pipe.xadd(KEY, {"request_id": f"x{number}", "id": 1000 + number, "status": "queued"})
        pipe.xtrim(KEY, maxlen=1, approximate=False)
        await pipe.execute()
        assert await words(all_events, 2) == [LOST, "queued"]
        assert await words(of_job, 1) == [LOST]


async def test_lost_state_is_a_gap(broker: Broker, client: Redis) -> None:
    """After a FLUSHALL followers are told, and get what happens then."""
    await submit(broker)
    async with broker.events.follow(TYPE) as follower:
        await client.flushall()
        assert await words(follower, 1) == [LOST]
        await submit(broker, "later")
        assert "queued" in await words(follower, 1)


async def test_an_older_state_is_a_gap(broker: Broker, client: Redis) -> None:
    """Where Redis has the stream as it was before, followers go on behind what is left of it."""
    await submit(broker)
    await submit(broker, "second")
    newer = (await entry_ids(client))[-1]
    async with broker.events.follow(TYPE) as follower:
        await client.xdel(KEY, newer)
        assert await words(follower, 1) == [LOST]
        await client.xadd(KEY, {"request_id": "x", "id": 9, "status": "done"})
        assert await words(follower, 1) == ["done"]


async def test_a_slow_follower_is_cut(broker: Broker, client: Redis) -> None:
    """One that takes nothing keeps a bounded number of events, is told of the gap, and ends."""
    await submit(broker)
    async with broker.events.follow(TYPE) as follower:
        pipe = client.pipeline(transaction=True)
        for number in range(MOST_KEPT + 100):
            pipe.xadd(KEY, {"request_id": "x", "id": number, "status": "queued"})
        await pipe.execute()
        async with asyncio.timeout(30):
            while not follower.is_ended:
                await asyncio.sleep(0.01)
        events = follower.events()
        assert len(events) == MOST_KEPT + 1
        assert (events[-1].word, events[-1].id) == (LOST, events[-2].id)


async def test_history_begins_where_it_is_asked_to(
    broker: Broker, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What came behind an entry is read in pages, and a gap is told where the entry is gone."""
    monkeypatch.setattr(event_hub, "BATCH", 2)
    for number in range(6):
        await submit(broker, f"d{number}")
    ids = await entry_ids(client)

    async def read(after: str, until: str) -> list[str]:
        return [
            event.word if event.word == LOST else event.name
            async for some in broker.events.history(TYPE, after, until)
            for event in some
        ]

    assert await read(ids[0], ids[4]) == ["d1", "d2", "d3", "d4"]
    assert await read(ids[5], ids[5]) == []
    await client.xtrim(KEY, maxlen=2, approximate=False)
    assert await read(ids[0], ids[5]) == [LOST, "d4", "d5"]
    assert await read("99999999999999-0", ids[5]) == [LOST]


async def test_a_closed_hub_holds_nobody(broker: Broker) -> None:
    """When the process stops, whoever follows is ended, and whoever begins to is too."""
    async with broker.events.follow(TYPE) as follower:
        broker.events.close()
        await follower.wait()
        async with broker.events.follow(TYPE) as late, broker.events.follow("other") as other:
            await late.wait()
            await other.wait()
        assert follower.is_ended
        assert late.is_ended
        assert other.is_ended


async def test_entries_of_an_older_version_are_read(broker: Broker, client: Redis) -> None:
    """An entry without who and whose is an event of which that is not known."""
    async with broker.events.follow(TYPE) as follower:
        await client.xadd(KEY, {"status": "broken"})
        await client.xadd(KEY, {"request_id": "lab/d", "id": "5", "status": "running"})
        (event,) = await following(follower, 1)
    assert (event.owner, event.by, event.old_status) == (None, None, None)
    assert (event.name, event.new_status) == ("lab/d", Status.RUNNING)


async def test_a_job_brought_to_its_end_is_followed_through(broker: Broker) -> None:
    """No event is missed, however the reads and the changes interleave."""
    async with broker.events.follow(TYPE) as follower:
        for number in range(20):
            await bring(broker, Status.DONE, f"d{number}")
        got = await words(follower, 40)
    assert got == ["queued", "done"] * 20
    assert event_feed.BATCH > 40
