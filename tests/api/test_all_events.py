"""One stream of the events of several types: what it has, from where it goes on, and for whom."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from redis.asyncio import Redis

from rq_broker.api import create_app
from rq_broker.api.event_ids import Places, Seen
from rq_broker.domain.errors import Invalid
from rq_broker.domain.identity import Identity, Role
from rq_broker.store import event_feed, event_types
from rq_broker.store.broker import Broker
from rq_broker.store.keys import Keys
from tests.api.conftest import refused
from tests.api.tenants import WhoHeader, client as client_of
from tests.api.test_events import Api, Stream, following, serving
from tests.making import submit

WHO = WhoHeader(
    client_of("a", "o"),
    Identity("viewer of vm", Role.VIEWER, types=frozenset({"vm"})),
    Identity("operator", Role.OPERATOR),
    Identity("source", Role.SOURCE),
)
MANY = "&".join(f"type=t{number}" for number in range(201))


@pytest.fixture
async def api(broker: Broker) -> Any:
    """An API without access control, over a socket."""
    async with serving(broker) as served:
        yield served


async def _told(stream: Stream, count: int) -> list[tuple[str, str]]:
    """Return type and job of the next events."""
    events = [await stream.next() for _ in range(count)]
    return [(event["type"], event.get("request_id", event["event"])) for event in events]


async def test_all_types_come_over_one_connection_also_later_ones(broker: Broker, api: Api) -> None:
    """What happens to each type is told, of one that comes later from its first event on."""
    await submit(broker, "earlier", "vm")
    await submit(broker, "earlier", "gpu")
    async with following(api, "/events") as stream:
        await submit(broker, "a", "vm")
        await submit(broker, "b", "gpu")
        assert sorted(await _told(stream, 2)) == [("gpu", "b"), ("vm", "a")]
        await submit(broker, "c", "虛擬機")
        await submit(broker, "d", "虛擬機")
        assert await _told(stream, 2) == [("虛擬機", "c"), ("虛擬機", "d")]
        await submit(broker, "e", "gpu")
        assert await _told(stream, 1) == [("gpu", "e")]
    assert len(broker.events._feeds) == 3


async def test_named_types_come_alone(broker: Broker, api: Api) -> None:
    """Only those that the query names, however often."""
    path = f"/events?type=vm&type={quote('虛擬機')}&type=vm"
    async with following(api, path) as stream:
        await submit(broker, "other", "gpu")
        await submit(broker, "a", "vm")
        assert await _told(stream, 1) == [("vm", "a")]
        await submit(broker, "b", "虛擬機")
        assert await _told(stream, 1) == [("虛擬機", "b")]


@pytest.mark.parametrize("query", ["", "?type=vm&type=gpu&type=late"])
async def test_a_stream_goes_on_in_each_type_where_it_was(
    broker: Broker, api: Api, query: str
) -> None:
    """With the id of any event nothing is missed and nothing told twice, of no type."""
    await submit(broker, "old", "vm")
    await submit(broker, "old", "gpu")
    async with following(api, f"/events{query}") as stream:
        for number, type_ in enumerate(("vm", "gpu", "vm")):
            await submit(broker, f"{number}", type_)
        events = [await stream.next() for _ in range(3)]
    told = {(event["type"], event["request_id"]) for event in events}
    assert told == {("vm", "0"), ("gpu", "1"), ("vm", "2")}
    for type_ in ("gpu", "vm", "late"):
        await submit(broker, f"missed {type_}", type_)
    missed = {(type_, f"missed {type_}") for type_ in ("gpu", "vm", "late")}
    for seen in range(3):
        rest = {(event["type"], event["request_id"]) for event in events[seen + 1 :]} | missed
        headers = {"Last-Event-ID": events[seen]["sse_id"]}
        async with following(api, f"/events{query}", **headers) as stream:
            got = await _told(stream, len(rest))
            assert (set(got), len(got)) == (rest, len(rest))
            await submit(broker, f"next {seen}", "gpu")
            assert await _told(stream, 1) == [("gpu", f"next {seen}")]
        missed.add(("gpu", f"next {seen}"))


async def test_a_client_that_comes_back_before_the_first_event_misses_nothing(
    broker: Broker, api: Api
) -> None:
    """The stream begins with an id alone."""
    await submit(broker, "old", "vm")
    async with following(api, "/events") as stream:
        first = await anext(stream._lines)
    assert first.startswith("id: ")
    await submit(broker, "missed", "vm")
    async with following(api, "/events", **{"Last-Event-ID": first[4:]}) as stream:
        assert await _told(stream, 1) == [("vm", "missed")]
    async with following(api, "/events?last_event_id=0") as stream:
        assert await _told(stream, 2) == [("vm", "old"), ("vm", "missed")]


async def test_a_gap_is_told_of_its_type(broker: Broker, api: Api, client: Redis) -> None:
    """Where one type keeps an event no more, `lost` names it, and the others have no gap."""
    async with following(api, "/events?type=vm&type=gpu") as stream:
        await submit(broker, "a", "vm")
        await submit(broker, "b", "gpu")
        events = [await stream.next() for _ in range(2)]
    await submit(broker, "c", "vm")
    await submit(broker, "d", "gpu")
    await client.xtrim(Keys("gpu").of("events"), 1, approximate=False)
    headers = {"Last-Event-ID": events[-1]["sse_id"]}
    async with following(api, "/events?type=vm&type=gpu", **headers) as stream:
        told: list[tuple[str, str]] = []
        while not {("vm", "c"), ("gpu", "d")} <= set(told):  # types have no order between them
            told += await _told(stream, 1)
    assert set(told) == {("gpu", "lost"), ("gpu", "d"), ("vm", "c")}
    assert told.index(("gpu", "lost")) < told.index(("gpu", "d"))


async def test_a_reader_that_is_too_slow_is_cut_for_all_types_together(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits for it is bounded over all its types; it comes back without a gap."""
    monkeypatch.setattr(event_feed, "MOST_KEPT", 4)
    for type_ in ("vm", "gpu"):
        await submit(broker, "old", type_)
    async with broker.events.follow_all(lambda _: True) as follower:
        for number in range(3):
            await submit(broker, f"{number}", "vm")
        for number in range(3):
            await submit(broker, f"{number}", "gpu")
        async with asyncio.timeout(30):
            while not follower.is_ended:
                await asyncio.sleep(0.005)
        kept = follower.events()
    assert len(kept) == 5
    assert (kept[-1].word, dict(kept[-1].details)["reason"]) == ("lost", "slow")


@pytest.mark.parametrize(
    ("who", "path", "status", "code"),
    [
        ("source", "/events", 403, "forbidden"),
        ("viewer of vm", "/events?type=gpu", 403, "forbidden"),
        ("operator", "/events?type=%00", 400, "invalid_request"),
        ("operator", "/events?last_event_id=1-0", 400, "invalid_request"),
        (
            "operator",
            "/events?" + "&".join(f"type=t{n}" for n in range(201)),
            400,
            "invalid_request",
        ),
    ],
)
async def test_who_may_not_follow_is_refused(
    broker: Broker, who: str, path: str, status: int, code: str
) -> None:
    """Roles and types hold as for the stream of one type."""
    transport = httpx.ASGITransport(create_app(broker, authenticators=[WHO]))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.get(path, headers={"X-Who": who})
    refused(answer, status, code)


async def test_everybody_sees_what_is_theirs(broker: Broker) -> None:
    """A client its owners' jobs of each type; who is limited to types those only, also of all."""
    async with serving(broker, authenticators=[WHO]) as api:
        await submit(broker, "old", "vm")
        await submit(broker, "old", "gpu")
        async with (
            following(api, "/events", **{"X-Who": "a"}) as own,
            following(api, "/events", **{"X-Who": "viewer of vm"}) as of_vm,
        ):
            await submit(broker, "theirs", "gpu", owner_id="p")
            await submit(broker, "theirs", "vm", owner_id="p")
            await submit(broker, "mine", "gpu")
            assert await _told(of_vm, 1) == [("vm", "theirs")]
            assert await _told(own, 1) == [("gpu", "mine")]


async def test_more_types_than_one_stream_may_have_are_refused(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream of all ends when there are too many; who names some gets those."""
    monkeypatch.setattr(event_types, "MOST_TYPES", 2)
    for type_ in ("a", "b"):
        await submit(broker, "d", type_)
    async with serving(broker) as api:
        async with following(api, "/events") as stream:
            await submit(broker, "d", "c")
            assert (await stream.next())["event"] == "END"
        answer = await api.client.get("/events")
        refused(answer, 400, "invalid_request")
        assert "name some by `type`" in answer.text


def test_an_id_is_small_and_says_the_place_in_each_type() -> None:
    """200 types fit into a header, whatever their names are; another stream's id is refused."""
    places = Places({f"type {'x' * 50} {n}": f"{1795719600123 + n}-17" for n in range(200)})
    assert len(places.id) < 6000
    seen = Seen(places.id)
    assert seen.of(f"type {'x' * 50} 7") == "1795719600130-17"
    assert (seen.of("other"), Seen("0").of("other"), Seen("").is_new) == (None, "", True)
    for wrong in ("1795719600123-0", "abc", places.id + ",x", places.id + "\n"):
        with pytest.raises(Invalid):
            Seen(wrong)
