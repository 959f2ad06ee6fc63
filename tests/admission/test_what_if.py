"""answers.what_if: what would be, if; and that asking writes nothing."""

from __future__ import annotations

from typing import Any

import pytest
from redis.asyncio import Redis

from rq_broker.domain import errors
from rq_broker.domain.planning import Proposal
from rq_broker.store.broker import Broker
from tests.asking import everything, hold, learn, want, what_if
from tests.making import publish, shape


async def _imagine(broker: Broker, vcpu: int, **place: Any) -> dict[str, Any]:
    return await what_if(broker, Proposal(shape=shape({"VCPU": vcpu}), **place))


async def _a_busy_type(broker: Broker, client: Redis) -> None:
    """One host, held; three jobs of three shapes wait; enough history."""
    await publish(broker, VCPU=4)
    await hold(broker, "holder", 4)
    await learn(client, *[100.0] * 20)
    for number in range(3):
        await want(broker, f"d{number}", 4, owner=f"o{number}")


@pytest.mark.parametrize(
    "proposal",
    [
        Proposal(shape=shape({"VCPU": 4})),
        Proposal(shape=shape({"VCPU": 9}), position="front"),
        Proposal(shape=shape({"VCPU": 1}), position=2),
        Proposal(request_id="d2", position="front"),
        Proposal(request_id="d0", position="back"),
        Proposal(request_id="d1", priority=0),
    ],
    ids=["job", "job at the front", "job at 2", "to the front", "to the back", "to a priority"],
)
async def test_what_if_writes_nothing(broker: Broker, client: Redis, proposal: Proposal) -> None:
    """A dump of every key is the same before and after."""
    await _a_busy_type(broker, client)
    before = await everything(client)
    await what_if(broker, proposal)
    assert await everything(client) == before


async def test_what_if_of_a_demand_answers_like_an_explanation(
    broker: Broker, client: Redis
) -> None:
    """Reason, shortfalls, holders, the largest version and an ETA, for a job nobody submitted."""
    await _a_busy_type(broker, client)
    told = await _imagine(broker, 4)
    assert told["reason"]["code"] == "no_fit"
    assert [(each["host"], each["needed"], each["free"]) for each in told["shortfalls"]] == [
        ("h1", 4, 0)
    ]
    assert [each["request_id"] for each in told["holders"]] == ["holder"]
    assert (told["impossible"], told["eta"]["reason"]) == (None, None)
    impossible = await _imagine(broker, 9)
    assert "could ever hold this" in impossible["impossible"]
    assert impossible["eta"]["p50"] is None


async def test_what_if_of_a_demand_stands_where_it_is_put(broker: Broker, client: Redis) -> None:
    """At the front it waits for one holding time, at 2 for two, at the back behind everybody."""
    await _a_busy_type(broker, client)
    found = [
        (await _imagine(broker, 4, position=position))["eta"]["p50"]
        for position in ("front", 2, "back", None, 99)
    ]
    expected = [100.0, 200.0, 400.0, 400.0, 400.0]
    assert found == pytest.approx(expected, rel=0.15)


async def _a_tie(broker: Broker, client: Redis) -> None:
    """One host, held; four jobs wait in order of their IDs, at one priority; enough history."""
    await publish(broker, VCPU=4)
    await hold(broker, "holder", 4)
    await learn(client, *[100.0] * 20)
    for number in range(4):
        await want(broker, f"d{number}", 4, owner=f"o{number}", priority=5)


@pytest.mark.parametrize("position", [1, 2, 3, 4, 5, 6])
async def test_what_if_at_a_position_is_exact_among_equals(
    broker: Broker, client: Redis, position: int
) -> None:
    """Where neighbours leave no number between them, a job imagined at n waits n holding times."""
    await _a_tie(broker, client)
    eta = (await _imagine(broker, 4, position=position))["eta"]
    assert eta["p50"] == pytest.approx(100.0 * min(position, 5), rel=0.09)


@pytest.mark.parametrize("position", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("name", ["d0", "d1", "d2", "d3"])
async def test_what_if_of_a_reorder_to_a_position_is_exact(
    broker: Broker, client: Redis, name: str, position: int
) -> None:
    """Whether it moves forward, back or not at all: afterwards it stands at just that position."""
    await _a_tie(broker, client)
    told = await what_if(broker, Proposal(request_id=name, position=position))
    found = sorted(told["moves"], key=lambda each: float(each["after"]["p50"]))
    line = [each for each in ("d0", "d1", "d2", "d3") if each != name]
    line.insert(position - 1, name)
    assert [each["request_id"] for each in found] == line


async def test_what_if_at_the_back_counts_those_not_shown(broker: Broker, client: Redis) -> None:
    """Behind 130 jobs of one shape, of which a picture shows 100, it waits for the fifth wave."""
    await publish(broker, VCPU=30)
    await hold(broker, "holder", 30)
    await learn(client, *[100.0] * 20)
    for number in range(130):
        await want(broker, f"d{number}", 1, priority=number)
    for position in (None, "back"):
        new = Proposal(shape=shape({"VCPU": 1}, owner="new"), position=position)
        eta = (await what_if(broker, new))["eta"]
        assert eta["p50"] == pytest.approx(500.0, rel=0.05)


async def test_what_if_of_a_reorder_says_whose_turn_moves(broker: Broker, client: Redis) -> None:
    """The job put to the front gains two holding times, and those it passes lose one each."""
    await _a_busy_type(broker, client)
    told = await what_if(broker, Proposal(request_id="d2", position="front"))
    assert {each["request_id"]: each["seconds"] for each in told["moves"]} == {
        "d2": pytest.approx(-200, rel=0.15),
        "d0": pytest.approx(100, rel=0.15),
        "d1": pytest.approx(100, rel=0.15),
    }
    assert all(each["before"]["p90"] >= each["before"]["p50"] for each in told["moves"])
    told = await what_if(broker, Proposal(request_id="d0", position="back"))
    assert {each["request_id"]: each["seconds"] for each in told["moves"]} == {
        "d0": pytest.approx(200, rel=0.15),
        "d1": pytest.approx(-100, rel=0.15),
        "d2": pytest.approx(-100, rel=0.15),
    }


@pytest.mark.parametrize("name", ["nobody", "holder"])
async def test_what_if_of_a_job_that_does_not_wait_is_refused(
    broker: Broker, client: Redis, name: str
) -> None:
    """Only what stands in line can be put elsewhere."""
    await _a_busy_type(broker, client)
    with pytest.raises(errors.NotWaiting, match=name):
        await what_if(broker, Proposal(request_id=name, position="front"))


async def test_what_if_of_a_type_nobody_used_answers(broker: Broker, client: Redis) -> None:
    """Without hosts, jobs or history there is an answer, and still nothing is written."""
    told = await _imagine(broker, 1)
    assert told["impossible"] == "there is no host"
    assert await everything(client) == {}
