"""What is said of waiting: why, for what, how long; and what would be if. Both stores."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from redis.asyncio import Redis

from rq_broker import errors
from rq_broker.answers import Warnings, explanation, what_if
from rq_broker.audit import audit
from rq_broker.broker import Broker
from rq_broker.keys import Keys, member
from rq_broker.models import Demand, Host, Job, Proposal, Status
from tests.making import TYPE, bring, grant, publish, shape, submit

KEYS = Keys(TYPE)
LITTLE = "fewer than 10 jobs of this type have finished"
READERS = {
    "string": lambda client, name: client.get(name),
    "hash": lambda client, name: client.hgetall(name),
    "set": lambda client, name: client.smembers(name),
    "zset": lambda client, name: client.zrange(name, 0, -1, withscores=True),
    "list": lambda client, name: client.lrange(name, 0, -1),
    "stream": lambda client, name: client.xrange(name),
}


async def _everything(client: Redis) -> dict[str, Any]:
    """Read every key there is."""
    names = [name async for name in client.scan_iter(match="*")]
    return {name: await READERS[await client.type(name)](client, name) for name in names}


async def _want(broker: Broker, name: str, vcpu: int, **more: Any) -> Job:
    """Submit a job of one instance; it comes back as it stands in line."""
    wanted = shape({"VCPU": vcpu}, owner=more.pop("owner", "o"))
    await submit(broker, name, shape=wanted, owner_id=wanted.owner, **more)
    return await broker.read(TYPE, name)


async def _hold(broker: Broker, name: str, vcpu: int, host: str = "h1", owner: str = "o") -> None:
    """Have a job hold so much of a host."""
    wanted = shape({"VCPU": vcpu}, owner=owner)
    job = await submit(broker, name, shape=wanted, owner_id=owner)
    assert await grant(broker, job, wanted, host) is not None


async def _learn(client: Redis, *seconds: float) -> None:
    """Have observed that capacity was held for so long."""
    await client.rpush(KEYS.of("history"), *(round(span * 1000) for span in seconds))


async def _explain(broker: Broker, name: str) -> dict[str, Any]:
    return await explanation(broker, TYPE, await broker.read(TYPE, name))


async def _imagine(broker: Broker, vcpu: int, **place: Any) -> dict[str, Any]:
    return await what_if(broker, TYPE, Proposal(shape=shape({"VCPU": vcpu}), **place))


# Explanations


async def test_an_explanation_says_all_there_is(broker: Broker, client: Redis) -> None:
    """Where it stands, what is missing where, who holds it, and how much it could have now."""
    await publish(broker, "h1", VCPU=8)
    await publish(broker, "h2", VCPU=8)
    await _hold(broker, "a", 3)
    await _hold(broker, "b", 2, owner="lab")
    await _hold(broker, "c", 7, "h2")
    await _want(broker, "d", 6)
    await _want(broker, "e", 6)
    told = await _explain(broker, "e")
    holders = told.pop("holders")
    assert told == {
        "position": 2,
        "jobs_of_its_shape_before": 1,
        "reason": {
            "code": "no_fit",
            "text": "needs VCPU 6 on one host; the most free is 3 on h1",
        },
        "explains": "d",
        "hosts": ("h1",),
        "shortfalls": [{"host": "h1", "resource": "VCPU", "needed": 6, "free": 3}],
        "protected": False,
        "passed_since": None,
        "passed_by": (),
        "largest": {"instances": 0, "percent": 66, "scaled": [{"VCPU": 3}]},
        "eta": {"p50": None, "p90": None, "reason": LITTLE},
        "eta_accuracy": {"within_p90": 0, "beyond_p90": 0},
    }
    assert all(holder.pop("seconds") >= 0 for holder in holders)
    where = {"host": "h1", "resource": "VCPU"}
    assert sorted(holders, key=lambda holder: str(holder["request_id"])) == [
        {"request_id": "a", "owner_id": "o", "amount": 3, **where},
        {"request_id": "b", "owner_id": "lab", "amount": 2, **where},
    ]
    assert await audit(client, TYPE) == []


async def test_an_explanation_of_what_fits_names_its_hosts(broker: Broker) -> None:
    """A job about to be granted has no reason, nothing missing and nobody in its way."""
    await publish(broker)
    await _want(broker, "d", 1)
    told = await _explain(broker, "d")
    assert (told["reason"], told["hosts"], told["holders"]) == (None, ("h1",), [])
    assert (told["shortfalls"], told["largest"]) == ([], None)


async def test_an_explanation_says_who_passes(broker: Broker, client: Redis) -> None:
    """Since when a job is passed, by whom next, and once patience ends, that it is protected."""
    await publish(broker, VCPU=8)
    await _hold(broker, "holder", 4)
    job = await _want(broker, "big", 8)
    await _want(broker, "small", 2)
    name = member(job.id, "big")
    told = await _explain(broker, "big")
    assert (told["passed_by"], told["passed_since"]) == (("small",), None)
    await broker.note(TYPE, None, [name])
    since = int(await client.hget(KEYS.of("passed"), name)) / 1000
    told = await _explain(broker, "big")
    assert (told["protected"], told["passed_since"]) == (False, since)
    await client.hset(KEYS.of("passed"), name, "1")
    told = await _explain(broker, "big")
    assert (told["protected"], told["hosts"], told["passed_by"]) == (True, ("h1",), ())
    assert (await _explain(broker, "small"))["reason"]["code"] == "protected_other"


async def test_a_closed_destination_is_the_reason(broker: Broker, client: Redis) -> None:
    """No size of the request would help, and its place is kept."""
    await bring(broker, Status.GRANTED)
    await client.hset(KEYS.of("destination", "http://x:80"), "open_until", "9" * 13)
    await client.zadd(KEYS.of("open"), {"http://x:80": 1})
    await _want(broker, "e", 1)
    told = await _explain(broker, "e")
    assert told["reason"]["code"] == "destination_closed"
    assert (told["position"], told["largest"]) == (1, None)


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.QUEUED])
async def test_only_waiting_is_explained(broker: Broker, status: Status) -> None:
    """A job that does not wait is a conflict, not an empty answer."""
    job = await bring(broker, status)
    with pytest.raises(errors.NotWaiting, match=f"d is {status}"):
        await explanation(broker, TYPE, job)


async def test_a_job_that_leaves_while_it_is_explained_is_told_so(broker: Broker) -> None:
    """What was queued when it was read and is gone now is a conflict as well."""
    job = await _want(broker, "d", 1)
    await broker.withdraw(TYPE, "d")
    with pytest.raises(errors.NotWaiting, match="left the line"):
        await explanation(broker, TYPE, job)


async def test_holders_are_named_up_to_a_limit(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host held by very many is explained by the first of them."""
    monkeypatch.setattr("rq_broker.answers.HOLDERS", 2)
    await publish(broker, VCPU=4)
    for number in range(4):
        await _hold(broker, f"h{number}", 1)
    await _want(broker, "d", 1)
    assert len((await _explain(broker, "d"))["holders"]) == 2


# ETAs and what became of them


async def test_an_eta_is_told_once_there_is_history(broker: Broker, client: Redis) -> None:
    """Nine observations are too few and say so; the tenth gives numbers, p50 within p90."""
    await publish(broker, VCPU=1)
    await _hold(broker, "holder", 1)
    await _want(broker, "d", 1)
    await _learn(client, *[100.0] * 9)
    eta = (await _explain(broker, "d"))["eta"]
    assert eta == {"p50": None, "p90": None, "reason": LITTLE}
    assert await client.exists(KEYS.of("forecasts")) == 0
    await _learn(client, 100.0)
    eta = (await _explain(broker, "d"))["eta"]
    assert eta["reason"] is None
    assert 0 < eta["p50"] <= eta["p90"] <= 100.0


async def test_whoever_stands_further_back_waits_longer(broker: Broker, client: Redis) -> None:
    """Each job of a shape before it costs about one holding time."""
    await publish(broker, VCPU=1)
    await _hold(broker, "holder", 1)
    await _learn(client, *[100.0] * 20)
    for number in range(4):
        await _want(broker, f"d{number}", 1)
    found = [(await _explain(broker, f"d{number}"))["eta"]["p50"] for number in range(4)]
    for before, after in pairwise(found):
        assert after - before == pytest.approx(100.0, rel=0.15)


@pytest.mark.parametrize(("moved", "kept"), [(0, True), (-(10**9), False)])
async def test_a_forecast_is_kept_once_and_judged_at_the_grant(
    broker: Broker, client: Redis, moved: int, kept: bool
) -> None:
    """The first p90 told stands; the grant finds out whether it held, and everybody is told."""
    await publish(broker, VCPU=1)
    await _hold(broker, "holder", 1)
    await _learn(client, *[100.0] * 20)
    job = await _want(broker, "d", 1)
    await _explain(broker, "d")
    first = await client.hgetall(KEYS.of("forecasts"))
    await _explain(broker, "d")
    assert await client.hgetall(KEYS.of("forecasts")) == first
    assert set(first) == {member(job.id, "d")}
    await client.hincrby(KEYS.of("forecasts"), member(job.id, "d"), moved)
    await broker.transition(TYPE, "holder", Status.DONE)
    assert await grant(broker, job) is not None
    await _want(broker, "e", 1)
    assert (await _explain(broker, "e"))["eta_accuracy"] == {
        "within_p90": int(kept),
        "beyond_p90": int(not kept),
    }
    assert await audit(client, TYPE) == []


async def test_the_accuracy_is_told_without_an_eta_too(broker: Broker, client: Redis) -> None:
    """Where no ETA can be given now, how earlier ones fared is still said."""
    await publish(broker, VCPU=1)
    job = await _want(broker, "d", 1)
    await broker.forecast(TYPE, job, 60.0)
    await grant(broker, job)
    await _want(broker, "never", 9)
    told = await _explain(broker, "never")
    assert told["eta"]["p90"] is None
    assert told["eta_accuracy"] == {"within_p90": 1, "beyond_p90": 0}
    assert len(await client.hgetall(KEYS.of("forecasts"))) == 0


async def test_explaining_writes_nothing_but_the_forecast(broker: Broker, client: Redis) -> None:
    """Every key but `forecasts` is as it was."""
    await publish(broker, VCPU=1)
    await _hold(broker, "holder", 1)
    await _learn(client, *[100.0] * 20)
    await _want(broker, "d", 1)
    before = await _everything(client)
    await _explain(broker, "d")
    after = await _everything(client)
    assert set(after) - set(before) == {KEYS.of("forecasts")}
    assert {name: after[name] for name in before} == before


# What if


async def _a_busy_type(broker: Broker, client: Redis) -> None:
    """One host, held; three jobs of three shapes wait; enough history."""
    await publish(broker, VCPU=4)
    await _hold(broker, "holder", 4)
    await _learn(client, *[100.0] * 20)
    for number in range(3):
        await _want(broker, f"d{number}", 4, owner=f"o{number}")


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
    before = await _everything(client)
    await what_if(broker, TYPE, proposal)
    assert await _everything(client) == before


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


async def test_what_if_at_the_back_counts_those_not_shown(broker: Broker, client: Redis) -> None:
    """Behind 130 jobs of one shape, of which a picture shows 100, it waits for the fifth wave."""
    await publish(broker, VCPU=30)
    await _hold(broker, "holder", 30)
    await _learn(client, *[100.0] * 20)
    for number in range(130):
        await _want(broker, f"d{number}", 1, priority=number)
    for position in (None, "back"):
        new = Proposal(shape=shape({"VCPU": 1}, owner="new"), position=position)
        eta = (await what_if(broker, TYPE, new))["eta"]
        assert eta["p50"] == pytest.approx(500.0, rel=0.05)


async def test_what_if_of_a_reorder_says_whose_turn_moves(broker: Broker, client: Redis) -> None:
    """The job put to the front gains two holding times, and those it passes lose one each."""
    await _a_busy_type(broker, client)
    told = await what_if(broker, TYPE, Proposal(request_id="d2", position="front"))
    assert {each["request_id"]: each["seconds"] for each in told["moves"]} == {
        "d2": pytest.approx(-200, rel=0.15),
        "d0": pytest.approx(100, rel=0.15),
        "d1": pytest.approx(100, rel=0.15),
    }
    assert all(each["before"]["p90"] >= each["before"]["p50"] for each in told["moves"])
    told = await what_if(broker, TYPE, Proposal(request_id="d0", position="back"))
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
        await what_if(broker, TYPE, Proposal(request_id=name, position="front"))


async def test_what_if_of_a_type_nobody_used_answers(broker: Broker, client: Redis) -> None:
    """Without hosts, jobs or history there is an answer, and still nothing is written."""
    told = await _imagine(broker, 1)
    assert told["impossible"] == "there is no host"
    assert await _everything(client) == {}


# Warnings


async def _warned(broker: Broker, warnings: Warnings, name: str, vcpu: int) -> str | None:
    wanted = shape({"VCPU": vcpu})
    return await warnings.warning(wanted.demand, await submit(broker, name, shape=wanted))


async def test_a_warning_follows_capacity(broker: Broker) -> None:
    """It comes with the host that is too small, goes with the one that is not, and comes again."""
    warnings = Warnings(broker)
    assert await _warned(broker, warnings, "a", 9) is None
    await publish(broker, "h1", VCPU=8)
    assert "the largest is 8 on h1" in (await _warned(broker, warnings, "b", 9) or "")
    await publish(broker, "h2", VCPU=9)
    assert await _warned(broker, warnings, "c", 9) is None
    await broker.drop_host(TYPE, "h2")
    assert "the largest is 8 on h1" in (await _warned(broker, warnings, "d", 9) or "")


async def test_a_verdict_lasts_while_capacity_does(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Grants change no verdict: hosts are read once a demand until one of them is set again."""
    await publish(broker)
    warnings, reads, hosts = Warnings(broker), [0], broker.hosts

    async def counted(type_: str) -> list[Host]:
        reads[0] += 1
        return await hosts(type_)

    monkeypatch.setattr(broker, "hosts", counted)
    for number in range(3):
        assert await _warned(broker, warnings, f"d{number}", 1) is None
        assert await grant(broker, await broker.read(TYPE, f"d{number}")) is not None
    assert reads == [1]
    await publish(broker)
    await _warned(broker, warnings, "e", 1)
    assert reads == [2]


async def test_verdicts_do_not_pile_up(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many demands are seen, only so many verdicts are kept."""
    monkeypatch.setattr("rq_broker.answers.DEPTH", 3)
    await publish(broker, VCPU=5)
    warnings = Warnings(broker)
    job = await submit(broker)
    for vcpu in range(1, 12):
        found = await warnings.warning(Demand(((("VCPU", vcpu),),)), job)
        assert (found is None) == (vcpu <= 5)
        assert len(warnings._verdicts) <= 3
