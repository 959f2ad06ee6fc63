"""Streams of events over real sockets: what they tell to whom, from where on, and their end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
import orjson
import pytest
from redis.asyncio import Redis

from rq_broker.api import create_app, events as event_routes
from rq_broker.api.server.connections import Connections
from rq_broker.api.server.limits import ConnectionLimits
from rq_broker.domain.identity import ACTOR, Actor, Identity, Role
from rq_broker.domain.jobs import Status
from rq_broker.domain.terms import Terms
from rq_broker.store import event_feed
from rq_broker.store.broker import Broker
from rq_broker.store.keys import Keys
from tests.api.conftest import refused
from tests.api.server.serving import lifespan_of, running
from tests.api.tenants import WhoHeader, client as client_of
from tests.making import TYPE, array_submission, bring, grant, publish, submit
from tests.raw_http import connected, request as raw_request

KEY = Keys(TYPE).of("events")
WHO = WhoHeader(
    client_of("a", "o"),
    client_of("b", "p"),
    Identity("viewer", Role.VIEWER),
    Identity("source", Role.SOURCE),
    Identity("operator", Role.OPERATOR),
)


@dataclass
class Api:
    """A served API, and how many connections it has."""

    client: httpx.AsyncClient
    connections: Connections
    port: int


@asynccontextmanager
async def serving(broker: Broker, **options: Any) -> AsyncIterator[Api]:
    limits = ConnectionLimits(100, 100, 32)
    connections = Connections(limits, grace=5.0, on_end=broker.events.close)
    app = create_app(broker, lifespan=lifespan_of(connections), **options)
    async with running(app) as server:
        base = f"http://127.0.0.1:{server.config.port}"
        async with httpx.AsyncClient(base_url=base, timeout=30) as client:
            yield Api(client, connections, server.config.port)


@pytest.fixture
async def api(broker: Broker) -> AsyncIterator[Api]:
    async with serving(broker) as served:
        yield served


class Stream:
    """The events of one stream, as its client reads them."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()

    async def next(self) -> dict[str, Any]:
        """Return the `data` of the next event, and its id as `sse_id`; comments are skipped."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(30):
            async for line in self._lines:
                if line.startswith(":"):
                    continue
                if line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                elif "data" in fields:
                    data: dict[str, Any] = orjson.loads(fields["data"])
                    assert data["event"] == fields["event"]
                    return {**data, "sse_id": fields.get("id")}
        return {"event": "END"}

    async def words(self, count: int) -> list[str]:
        return [str((await self.next())["event"]) for _ in range(count)]


@asynccontextmanager
async def following(
    api: Api, path: str = "/types/vm/events", **headers: str
) -> AsyncIterator[Stream]:
    async with api.client.stream("GET", path, headers=headers) as response:
        assert response.status_code == 200
        yield Stream(response)


async def test_a_stream_tells_what_happens_to_whom_by_whom(broker: Broker, api: Api) -> None:
    """Each event says what changed, from and to, of whom, by whom and when; its id names it."""
    async with following(api) as stream:
        headers = stream.response.headers
        assert headers["content-type"].startswith("text/event-stream")
        assert (headers["cache-control"], headers["x-accel-buffering"]) == ("no-store", "no")
        token = ACTOR.set(Actor("token:ci"))
        job = await submit(broker)
        ACTOR.reset(token)
        await publish(broker)
        assert await grant(broker, job)
        await broker.withdraw(TYPE, "d")
        events = [await stream.next() for _ in range(3)]
    entries: Any = await broker.runner.command("XRANGE", KEY, "-", "+")
    assert [each.pop("sse_id") for each in events] == [id_ for id_, _ in entries]
    assert all(each.pop("at").endswith("Z") for each in events)
    common = {"type": "vm", "request_id": "d", "id": job.id, "owner_id": "o"}
    assert events == [
        {"event": "job.queued", "from": None, "to": "queued", "by": "token:ci", **common},
        {"event": "job.granted", "from": "queued", "to": "granted", "by": None, **common},
        {"event": "job.deleted", "from": "granted", "to": None, "by": None, **common},
    ]


async def test_a_stream_goes_on_where_the_client_left_off(
    broker: Broker, api: Api, client: Redis
) -> None:
    """With the id of its last event a client gets what came since, and then what comes."""
    for number in range(4):
        await submit(broker, f"d{number}")
    entries: Any = await client.xrange(KEY)
    second = entries[1][0]
    missed = ["d2", "d3"]
    for priority, path, headers in (
        ("1", "/types/vm/events", {"Last-Event-ID": second}),
        ("2", f"/types/vm/events?last_event_id={second}", {}),
    ):
        async with following(api, path, **headers) as stream:
            assert [(await stream.next())["request_id"] for _ in missed] == missed
            await broker.reorder(TYPE, "d0", "priority", priority)
            assert (await stream.next())["event"] == "job.reordered"
        missed.append("d0")
    await client.xtrim(KEY, maxlen=1, approximate=False)
    async with following(api, **{"Last-Event-ID": second}) as stream:
        lost = await stream.next()
        assert (lost["event"], lost["reason"], lost["sse_id"]) == ("lost", "trimmed", second)
        assert (await stream.next())["event"] == "job.reordered"


@pytest.mark.parametrize("zero", ["0", "0-0"])
async def test_zero_is_before_the_first_event_that_is_kept(
    broker: Broker, api: Api, client: Redis, zero: str
) -> None:
    """Whoever asks from there has a gap neither in a whole stream nor in one that was trimmed."""
    for name in ("a", "b"):
        await submit(broker, name)
    async with following(api, f"/types/vm/events?last_event_id={zero}") as stream:
        assert (await stream.next())["request_id"] == "a"
    await client.xtrim(KEY, maxlen=1, approximate=False)
    async with following(api, f"/types/vm/events?last_event_id={zero}") as stream:
        assert (await stream.next())["request_id"] == "b"


async def test_an_id_from_the_future_is_a_gap_until_now(broker: Broker, api: Api) -> None:
    """It is of a state that was lost, or of none; the gap ends by now, not when the ID says."""
    await submit(broker)
    async with following(api, "/types/vm/events?last_event_id=99999999999999") as stream:
        lost = await stream.next()
    assert (lost["event"], lost["reason"]) == ("lost", "state_lost")
    assert datetime.fromisoformat(lost["at"]).year < 5000


async def test_a_stream_of_a_job_begins_with_what_it_is_and_ends_with_it(
    broker: Broker, api: Api
) -> None:
    """Its first event is the present status; it ends after done, error or the withdrawal."""
    job = await submit(broker)
    async with following(api, "/v1/vm/d/events") as stream:
        now = await stream.next()
        assert (now["event"], now["to"], now["id"]) == ("job.queued", "queued", job.id)
        await submit(broker, "other")
        await broker.transition(TYPE, "d", Status.RUNNING)
        await broker.transition(TYPE, "d", Status.DONE)
        assert await stream.words(3) == ["job.running", "job.done", "END"]
    async with following(api, "/v1/vm/d/events") as stream:
        assert await stream.words(2) == ["job.done", "END"]
    async with following(api, "/v1/vm/d/events", **{"Last-Event-ID": now["sse_id"]}) as stream:
        running, event = await stream.next(), await stream.next()
        assert (running["event"], event["event"]) == ("job.running", "job.done")
        assert (await stream.next())["event"] == "END"
        last = event["sse_id"]
    await submit(broker, "third")
    for path, after in (("/v1/vm/d/events", last), ("/v1/vm/gone/events", last)):
        answer = await api.client.get(path, headers={"Last-Event-ID": after})
        assert (answer.status_code, answer.content) == (204, b"")
    async with following(api, "/v1/vm/other/events") as stream:
        await stream.next()
        await broker.withdraw(TYPE, "other")
        assert await stream.words(2) == ["job.deleted", "END"]


async def test_a_job_beside_the_line_is_queued(broker: Broker, api: Api) -> None:
    """Who follows a job with terms of its own sees it queued, and queued again as it joins."""
    far = 4_000_000_000_000
    await submit(broker, terms=Terms(not_before=far))
    async with following(api, "/types/vm/events?last_event_id=0") as stream:
        event = await stream.next()
        assert (event["event"], event["to"]) == ("job.queued", "queued")


async def test_wrong_requests_are_refused(broker: Broker, api: Api) -> None:
    """No job, a whole array, and what is no id of an event; HEAD begins no stream."""
    refused(await api.client.get("/v1/vm/none/events"), 404, "job_not_found")
    await broker.submit_array(TYPE, array_submission(2))
    refused(await api.client.get("/v1/vm/s[*]/events"), 400, "invalid_request", "not all of s[*]")
    for query in ("?last_event_id=x", "?last_event_id=1-2-3", f"?last_event_id={10**15 - 1}"):
        answer = await api.client.get(f"/types/vm/events{query}")
        refused(answer, 400, "invalid_request", "last_event_id must be")
    answer = await api.client.head("/types/vm/events")
    assert (answer.status_code, answer.content) == (200, b"")


async def test_each_role_sees_what_is_its_own(broker: Broker) -> None:
    """A client sees events of its owners' jobs, and by whom if it was itself or the broker."""
    async with (
        serving(broker, authenticators=[WHO]) as api,
        following(api, **{"X-Who": "a"}) as own,
        following(api, **{"X-Who": "b"}) as other,
        following(api, **{"X-Who": "viewer"}) as viewer,
        following(api, "/types/vm/events?owner_id=p", **{"X-Who": "operator"}) as operator,
    ):
        path = "/types/vm/events"
        answer = await api.client.get(path, headers={"X-Who": "source"})
        refused(answer, 403, "forbidden")
        refused(await api.client.get(path), 401, "unauthenticated")
        await submit(broker, "anonymous", owner_id="")
        for name, owner, who in (("d", "o", "a"), ("e", "p", "operator"), ("f", "o", "operator")):
            token = ACTOR.set(Actor(who))
            await submit(broker, name, owner_id=owner)
            ACTOR.reset(token)
        first, second = await own.next(), await own.next()
        assert (first["request_id"], first["by"], second["request_id"]) == ("d", "a", "f")
        assert "by" not in second
        for stream in (other, operator):
            assert (await stream.next())["request_id"] == "e"
        names = [(await viewer.next())["request_id"] for _ in range(4)]
        assert names == ["anonymous", "d", "e", "f"]
        answer = await api.client.get("/v1/vm/e/events", headers={"X-Who": "a"})
        refused(answer, 404, "job_not_found")


async def test_what_happens_to_the_type_is_no_event_of_an_owner(
    broker: Broker, client: Redis
) -> None:
    """A clock step is told to whoever sees the whole type; a loss to everybody."""
    async with (
        serving(broker, authenticators=[WHO]) as api,
        following(api, **{"X-Who": "a"}) as own,
        following(api, **{"X-Who": "viewer"}) as viewer,
    ):
        await client.xadd(
            KEY, {"request_id": "", "id": "0", "status": "clock_step", "milliseconds": "-5000"}
        )
        await client.xadd(KEY, {"request_id": "", "id": "0", "status": "state_lost"})
        step, lost = await viewer.next(), await viewer.next()
        assert (step["event"], step["milliseconds"]) == ("type.clock_step", -5000)
        assert (lost["event"], lost["reason"]) == ("lost", "state_lost")
        assert (await own.next())["event"] == "lost"


async def test_quiet_streams_are_kept_alive(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A comment comes now and then where nothing happens."""
    monkeypatch.setattr(event_routes, "PING_SECONDS", 0.01)
    async with (
        serving(broker) as api,
        api.client.stream("GET", "/types/vm/events") as response,
        asyncio.timeout(30),
    ):
        async for line in response.aiter_lines():
            if line:
                assert line.startswith(":")
                return


async def test_a_client_that_hangs_up_holds_nothing(broker: Broker, api: Api) -> None:
    """When its connection is gone, a stream and a waiting read are over, and follow nothing."""
    await submit(broker)
    paths = ("/types/vm/events", "/v1/vm/d/events", "/v1/vm/d?wait=60")
    for path in paths:
        async with connected(api.port, raw_request("GET", path)):
            await _until(lambda: _followers(broker) == 1)
        await _until(lambda: _followers(broker) == 0)
    await _until(lambda: not api.connections._open)


async def test_a_slow_reader_is_cut(
    broker: Broker, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that reads nothing keeps a bounded number of events; it is told, and the stream
    ends. It goes on from the last event that it read."""
    monkeypatch.setattr(event_feed, "MOST_KEPT", 50)
    await submit(broker)
    big = {"request_id": "x" * 9000, "id": "9", "status": "queued", "owner": "o", "by": ""}
    async with following(api) as stream:
        for _ in range(300):
            for _ in range(10):
                await broker.runner.command("XADD", KEY, "*", *_flat(big))
            await asyncio.sleep(0.002)
            if _ended(broker):
                break
        assert _ended(broker)
        last, event = "", await stream.next()
        while event["event"] != "lost":
            last, event = event["sse_id"], await stream.next()
        assert (event["reason"], event["sse_id"]) == ("slow", last)
        assert (await stream.next())["event"] == "END"
    async with following(api, **{"Last-Event-ID": last}) as stream:
        assert (await stream.next())["event"] == "job.queued"


async def test_streams_end_when_the_process_does(broker: Broker) -> None:
    """A stop ends streams and waiting reads at once, and whole: no connection is cut."""
    await submit(broker)
    async with asyncio.timeout(30), serving(broker) as api:
        reading = asyncio.create_task(api.client.get("/v1/vm/d?wait=60"))
        async with following(api) as stream:
            await _until(lambda: _followers(broker) == 2)
            api.connections.end_soon()
            assert (await stream.next())["event"] == "END"
        answer = await reading
        assert answer.json()["data"]["Status"] == "queued"


def _flat(fields: dict[str, str]) -> list[str]:
    return [part for pair in fields.items() for part in pair]


def _followers(broker: Broker) -> int:
    feed = broker.events._feeds.get(TYPE)
    return len(feed._followers()) if feed else 0


def _ended(broker: Broker) -> bool:
    feed = broker.events._feeds[TYPE]
    return all(each.is_ended for each in feed._followers())


async def _until(is_so: Any) -> None:
    async with asyncio.timeout(30):
        while not is_so():
            await asyncio.sleep(0.005)


async def test_a_restarted_stream_of_a_gone_type_is_told(
    broker: Broker, api: Api, client: Redis
) -> None:
    """Who follows a type whose state is lost hears of it, and of what is submitted then."""
    await bring(broker, Status.QUEUED)
    async with following(api) as stream:
        await client.flushall()
        assert (await stream.next())["event"] == "lost"
        await submit(broker, "later")
        event = await stream.next()
        while event["event"] == "lost":
            event = await stream.next()
        assert (event["event"], event["request_id"]) == ("job.queued", "later")
