"""What-if answers: what a submit or a reorder would do; asking writes nothing."""

from __future__ import annotations

from typing import Any

import pytest
from redis.asyncio import Redis

from rq_broker.admission.move_preview import MovePreview
from rq_broker.domain import errors
from rq_broker.domain.planning import Proposal
from rq_broker.planner import Forecast, ForecastChange
from rq_broker.planner.forecasting.forecasts import MOST_STRETCH
from rq_broker.store.broker import Broker, Moved
from rq_broker.store.keys import Keys
from tests.explaining import add_history, dump, holding, queued, what_if
from tests.making import TYPE, publish, shape


async def _imagine(broker: Broker, vcpus: int, **place: Any) -> dict[str, Any]:
    return await what_if(broker, Proposal(shape=shape({"VCPU": vcpus}), **place))


async def _busy_type(broker: Broker, client: Redis) -> None:
    """One host, held; three jobs of three shapes wait; enough history."""
    await publish(broker, VCPU=4)
    await holding(broker, "holder", 4)
    await add_history(client, *[100.0] * 20)
    for number in range(3):
        await queued(broker, f"d{number}", 4, owner=f"o{number}")


async def _ties(broker: Broker, client: Redis) -> None:
    """One host, held; four jobs wait in order of their IDs, at one priority; enough history."""
    await publish(broker, VCPU=4)
    await holding(broker, "holder", 4)
    await add_history(client, *[100.0] * 20)
    for number in range(4):
        await queued(broker, f"d{number}", 4, owner=f"o{number}", priority=5)


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
    await _busy_type(broker, client)
    before = await dump(client)
    await what_if(broker, proposal)
    assert await dump(client) == before


# A job not submitted


async def test_a_job_not_submitted_is_explained_like_a_waiting_one(
    broker: Broker, client: Redis
) -> None:
    """The answer has reason, shortfalls, holders, the largest version and a forecast."""
    await _busy_type(broker, client)
    answer = await _imagine(broker, 4)
    assert answer["reason"]["code"] == "no_fit"
    (lack,) = answer["shortfalls"]
    assert (lack["host"], lack["needed"], lack["free"]) == ("h1", 4, 0)
    assert [holder["request_id"] for holder in answer["holders"]] == ["holder"]
    assert (answer["impossible"], answer["eta"]["reason"]) == (None, None)
    impossible = await _imagine(broker, 9)
    assert "could ever hold this" in impossible["impossible"]
    assert impossible["eta"]["p50"] is None


async def test_a_job_not_submitted_stands_where_it_is_put(broker: Broker, client: Redis) -> None:
    """At the front it waits for one holding time, at 2 for two, at the back behind all others."""
    await _busy_type(broker, client)
    waits = [
        (await _imagine(broker, 4, position=position))["eta"]["p50"]
        for position in ("front", 2, "back", None, 99)
    ]
    assert waits == pytest.approx([100.0, 200.0, 400.0, 400.0, 400.0], rel=0.15)


async def test_the_p90_of_a_job_not_submitted_moves_as_that_of_a_waiting_one(
    broker: Broker, client: Redis
) -> None:
    """Where more than a tenth of the p90 told so far were missed, it is further behind its p50."""
    await publish(broker, VCPU=4)
    await holding(broker, "holder", 4)
    await add_history(client, *map(float, range(10, 2000, 100)))
    etas = [(await _imagine(broker, 4))["eta"]]
    await client.hset(Keys(TYPE).base, mapping={"forecasts_missed": 50})
    etas.append((await _imagine(broker, 4))["eta"])
    usual, moved = (eta["p90"] - eta["p50"] for eta in etas)
    assert moved == pytest.approx(MOST_STRETCH * usual, rel=0.05)


@pytest.mark.parametrize("position", [1, 2, 3, 4, 5, 6])
async def test_a_position_among_equal_priorities_is_exact(
    broker: Broker, client: Redis, position: int
) -> None:
    """Where neighbours leave no number between them, a job at n waits n holding times."""
    await _ties(broker, client)
    eta = (await _imagine(broker, 4, position=position))["eta"]
    assert eta["p50"] == pytest.approx(100.0 * min(position, 5), rel=0.09)


async def test_a_job_at_the_back_stands_behind_hidden_jobs_too(
    broker: Broker, client: Redis
) -> None:
    """Behind 130 jobs of one shape, of which a snapshot shows 100, it waits for the fifth wave."""
    await publish(broker, VCPU=30)
    await holding(broker, "holder", 30)
    await add_history(client, *[100.0] * 20)
    for number in range(130):
        await queued(broker, f"d{number}", 1, priority=number)
    for position in (None, "back"):
        new = Proposal(shape=shape({"VCPU": 1}, owner="new"), position=position)
        eta = (await what_if(broker, new))["eta"]
        assert eta["p50"] == pytest.approx(500.0, rel=0.05)


async def test_an_unused_type_has_an_answer_too(broker: Broker, client: Redis) -> None:
    """Without hosts, jobs or history there is an answer, and still nothing is written."""
    answer = await _imagine(broker, 1)
    assert answer["impossible"] == "there is no host"
    assert await dump(client) == {}


# A reorder


@pytest.mark.parametrize("position", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("name", ["d0", "d1", "d2", "d3"])
async def test_a_reorder_to_a_position_is_exact(
    broker: Broker, client: Redis, name: str, position: int
) -> None:
    """Whether it moves forward, back or not at all: it and those between change as they should."""
    await _ties(broker, client)
    answer = await what_if(broker, Proposal(request_id=name, position=position))
    moves = sorted(answer["moves"], key=lambda move: float(move["after"]["p50"]))
    expected = [other for other in ("d0", "d1", "d2", "d3") if other != name]
    expected.insert(position - 1, name)
    was, now = int(name[1:]), expected.index(name)
    assert [move["request_id"] for move in moves] == expected[min(was, now) : max(was, now) + 1]
    assert (answer["was"], answer["position"]) == (was + 1, now + 1)
    between, forward = abs(was - now), now < was
    assert (answer["later"], answer["sooner"]) == (between * forward, between * (not forward))


async def test_a_reorder_says_whose_forecast_moves(broker: Broker, client: Redis) -> None:
    """The job put to the front gains two holding times, and those it passes lose one each."""
    await _busy_type(broker, client)
    answer = await what_if(broker, Proposal(request_id="d2", position="front"))
    assert {move["request_id"]: move["seconds"] for move in answer["moves"]} == {
        "d2": pytest.approx(-200, rel=0.15),
        "d0": pytest.approx(100, rel=0.15),
        "d1": pytest.approx(100, rel=0.15),
    }
    assert all(move["before"]["p90"] >= move["before"]["p50"] for move in answer["moves"])
    answer = await what_if(broker, Proposal(request_id="d0", position="back"))
    assert {move["request_id"]: move["seconds"] for move in answer["moves"]} == {
        "d0": pytest.approx(200, rel=0.15),
        "d1": pytest.approx(-100, rel=0.15),
        "d2": pytest.approx(-100, rel=0.15),
    }


@pytest.mark.parametrize("name", ["nobody", "holder"])
async def test_a_job_that_does_not_wait_cannot_be_moved(
    broker: Broker, client: Redis, name: str
) -> None:
    """An unknown job and one that is granted are refused as not waiting."""
    await _busy_type(broker, client)
    with pytest.raises(errors.NotWaiting, match=name):
        await what_if(broker, Proposal(request_id=name, position="front"))


def test_of_jobs_that_a_long_line_does_not_show_nothing_is_known() -> None:
    """Between two places far behind, a sample may show no job: all are counted, as unknown."""
    known = Forecast(10.0, 20.0)
    moved = ForecastChange("d", "o", known, known, 0.0)
    preview = MovePreview(Moved(1, position=10_040, was=10_001, line="1-1.0"), (moved,))
    assert preview.counts == {"unknown": 39}
    other = ForecastChange("e", "o", known, Forecast(99.0, 99.0), 89.0, weight=100)
    preview = MovePreview(preview.moved, (moved, other))
    assert preview.counts == {"later": 39}
