"""What is said of waiting: why, for what, for how long; and at submit, that it is in vain."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pytest
from redis.asyncio import Redis

from rq_broker.admission import explain as answers
from rq_broker.admission.explain import Explainer
from rq_broker.admission.snapshot import SnapshotReader
from rq_broker.admission.submit_warning import SubmitWarnings
from rq_broker.domain import errors
from rq_broker.domain.capacity import Host
from rq_broker.domain.jobs import Demand, Job, Status
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from rq_broker.store.keys import member
from tests.asking import KEYS, LITTLE, everything, explanation, hold, learn, want
from tests.making import TYPE, bring, grant, head_of, publish, shape, submit

# Explanations


async def test_an_explanation_says_all_there_is(broker: Broker, client: Redis) -> None:
    """Where it stands, what is missing where, who holds it, and how much it could have now."""
    await publish(broker, "h1", VCPU=8)
    await publish(broker, "h2", VCPU=8)
    await hold(broker, "a", 3)
    await hold(broker, "b", 2, owner="lab")
    await hold(broker, "c", 7, "h2")
    await want(broker, "d", 6)
    await want(broker, "e", 6)
    told = await explanation(broker, "e")
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
        "passed_by": [],
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
    await want(broker, "d", 1)
    told = await explanation(broker, "d")
    assert (told["reason"], told["hosts"], told["holders"]) == (None, ("h1",), [])
    assert (told["shortfalls"], told["largest"]) == ([], None)


async def test_an_explanation_says_who_passes(broker: Broker, client: Redis) -> None:
    """Since when a job is passed, by whom next, and once patience ends, that it is protected."""
    await publish(broker, VCPU=8)
    await hold(broker, "holder", 4)
    job = await want(broker, "big", 8)
    await want(broker, "small", 2)
    name = member(job.id, "big")
    told = await explanation(broker, "big")
    assert (told["passed_by"], told["passed_since"]) == (["small"], None)
    await broker.note(TYPE, None, [head_of(job)])
    since = int(await client.hget(KEYS.of("passed"), name) or 0) / 1000
    told = await explanation(broker, "big")
    assert (told["protected"], told["passed_since"]) == (False, since)
    await client.hset(KEYS.of("passed"), name, "1")
    told = await explanation(broker, "big")
    assert (told["protected"], told["hosts"], told["passed_by"]) == (True, ("h1",), [])
    assert (await explanation(broker, "small"))["reason"]["code"] == "protected_other"


async def test_an_explanation_names_who_has_passed(broker: Broker) -> None:
    """Those that hold what it waits for and stand behind it in line; not those before it."""
    await publish(broker, VCPU=8)
    await hold(broker, "earlier", 3)
    big = await want(broker, "big", 8)
    for name in ("later", "gone", "urgent"):
        await hold(broker, name, 1)
    await broker.reorder(TYPE, "urgent", "priority", "-1")
    await broker.transition(TYPE, "gone", Status.DONE)
    assert (await explanation(broker, "big"))["passed_by"] == []
    await broker.note(TYPE, None, [head_of(big)])
    assert (await explanation(broker, "big"))["passed_by"] == ["later"]
    await want(broker, "next", 2)
    assert (await explanation(broker, "big"))["passed_by"] == ["later", "next"]


async def test_a_closed_destination_is_the_reason(broker: Broker, client: Redis) -> None:
    """No size of the request would help, and its place is kept."""
    await bring(broker, Status.GRANTED)
    await client.hset(KEYS.of("destination", "http://x:80"), "open_until", "9" * 13)
    await client.zadd(KEYS.of("open"), {"http://x:80": 1})
    await want(broker, "e", 1)
    told = await explanation(broker, "e")
    assert told["reason"]["code"] == "destination_closed"
    assert (told["position"], told["largest"]) == (1, None)


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.QUEUED])
async def test_only_waiting_is_explained(broker: Broker, status: Status) -> None:
    """A job that does not wait is a conflict, not an empty answer."""
    await bring(broker, status)
    with pytest.raises(errors.NotWaiting, match=f"d is {status}"):
        await explanation(broker, "d")


async def test_a_job_that_leaves_while_it_is_explained_is_told_so(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was queued when it was read and is gone now is a conflict as well."""
    await want(broker, "d", 1)
    read = broker.read

    async def read_last(type_: str, request_id: str) -> Job:
        job = await read(type_, request_id)
        await broker.withdraw(type_, request_id)
        return job

    monkeypatch.setattr(broker, "read", read_last)
    with pytest.raises(errors.NotWaiting, match="left the queue"):
        await explanation(broker, "d")


async def test_answers_are_found_one_at_a_time(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many ask, one thread forecasts, and each is answered for its own job."""
    for number in range(4):
        await want(broker, f"d{number}", number + 1)
    at_work, most, foreseen = set[object](), list[int](), answers.explain_and_forecast

    def watched(*args: Any) -> Any:
        me = object()
        at_work.add(me)
        most.append(len(at_work))
        time.sleep(0.02)
        found = foreseen(*args)
        at_work.remove(me)
        return found

    monkeypatch.setattr(answers, "explain_and_forecast", watched)
    asked = Explainer(SnapshotReader(broker))
    told = await asyncio.gather(*(asked.explain(TYPE, f"d{number}") for number in range(4)))
    assert [each.explanation.request_id for each in told] == ["d0", "d1", "d2", "d3"]
    assert most == [1, 1, 1, 1]


async def test_holders_are_named_up_to_a_limit(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host held by very many is explained by the first of them."""
    monkeypatch.setattr("rq_broker.admission.explain.MAX_HOLDERS", 2)
    await publish(broker, VCPU=4)
    for number in range(4):
        await hold(broker, f"h{number}", 1)
    await want(broker, "d", 1)
    assert len((await explanation(broker, "d"))["holders"]) == 2


# ETAs and what became of them


async def test_an_eta_is_told_once_there_is_history(broker: Broker, client: Redis) -> None:
    """Nine observations are too few and say so; the tenth gives numbers, p50 within p90."""
    await publish(broker, VCPU=1)
    await hold(broker, "holder", 1)
    await want(broker, "d", 1)
    await learn(client, *[100.0] * 9)
    eta = (await explanation(broker, "d"))["eta"]
    assert eta == {"p50": None, "p90": None, "reason": LITTLE}
    assert await client.exists(KEYS.of("forecasts")) == 0
    await learn(client, 100.0)
    eta = (await explanation(broker, "d"))["eta"]
    assert eta["reason"] is None
    assert 0 < eta["p50"] <= eta["p90"] <= 100.0


async def test_whoever_stands_further_back_waits_longer(broker: Broker, client: Redis) -> None:
    """Each job of a shape before it costs about one holding time."""
    await publish(broker, VCPU=1)
    await hold(broker, "holder", 1)
    await learn(client, *[100.0] * 20)
    for number in range(4):
        await want(broker, f"d{number}", 1)
    found = [(await explanation(broker, f"d{number}"))["eta"]["p50"] for number in range(4)]
    for before, after in pairwise(found):
        assert after - before == pytest.approx(100.0, rel=0.15)


@pytest.mark.parametrize(("moved", "kept"), [(0, True), (-(10**9), False)])
async def test_a_forecast_is_kept_once_and_judged_at_the_grant(
    broker: Broker, client: Redis, moved: int, kept: bool
) -> None:
    """The first p90 told stands; the grant finds out whether it held, and everybody is told."""
    await publish(broker, VCPU=1)
    await hold(broker, "holder", 1)
    await learn(client, *[100.0] * 20)
    job = await want(broker, "d", 1)
    await explanation(broker, "d")
    first = await client.hgetall(KEYS.of("forecasts"))
    await explanation(broker, "d")
    assert await client.hgetall(KEYS.of("forecasts")) == first
    assert set(first) == {member(job.id, "d")}
    await client.hincrby(KEYS.of("forecasts"), member(job.id, "d"), moved)
    await broker.transition(TYPE, "holder", Status.DONE)
    assert await grant(broker, job) is not None
    await want(broker, "e", 1)
    assert (await explanation(broker, "e"))["eta_accuracy"] == {
        "within_p90": int(kept),
        "beyond_p90": int(not kept),
    }
    assert await audit(client, TYPE) == []


async def test_the_accuracy_is_told_without_an_eta_too(broker: Broker, client: Redis) -> None:
    """Where no ETA can be given now, how earlier ones fared is still said."""
    await publish(broker, VCPU=1)
    job = await want(broker, "d", 1)
    await broker.forecast(TYPE, job, 60.0)
    await grant(broker, job)
    await want(broker, "never", 9)
    told = await explanation(broker, "never")
    assert told["eta"]["p90"] is None
    assert told["eta_accuracy"] == {"within_p90": 1, "beyond_p90": 0}
    assert len(await client.hgetall(KEYS.of("forecasts"))) == 0


async def test_explaining_writes_nothing_but_the_forecast(broker: Broker, client: Redis) -> None:
    """Every key but `forecasts` is as it was."""
    await publish(broker, VCPU=1)
    await hold(broker, "holder", 1)
    await learn(client, *[100.0] * 20)
    await want(broker, "d", 1)
    before = await everything(client)
    await explanation(broker, "d")
    after = await everything(client)
    assert set(after) - set(before) == {KEYS.of("forecasts")}
    assert {name: after[name] for name in before} == before


# Warnings


async def _warned(broker: Broker, warnings: SubmitWarnings, name: str, vcpu: int) -> str | None:
    wanted = shape({"VCPU": vcpu})
    return await warnings.warning(wanted.demand, await submit(broker, name, shape=wanted))


async def test_a_warning_follows_capacity(broker: Broker) -> None:
    """It comes with the host that is too small, goes with the one that is not, and comes again."""
    warnings = SubmitWarnings(SnapshotReader(broker))
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
    outlook, reads = SnapshotReader(broker), [0]
    warnings, hosts = SubmitWarnings(outlook), outlook.read_hosts

    async def counted(type_: str) -> Mapping[str, Host]:
        reads[0] += 1
        return await hosts(type_)

    monkeypatch.setattr(outlook, "read_hosts", counted)
    for number in range(3):
        assert await _warned(broker, warnings, f"d{number}", 1) is None
        assert await grant(broker, await broker.read(TYPE, f"d{number}")) is not None
    assert reads == [1]
    await publish(broker)
    await _warned(broker, warnings, "e", 1)
    assert reads == [2]


async def test_remembered_do_not_pile_up(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many demands are seen, only so many verdicts are kept."""
    monkeypatch.setattr("rq_broker.admission.submit_warning.REMEMBERED_DEMANDS", 3)
    await publish(broker, VCPU=5)
    warnings = SubmitWarnings(SnapshotReader(broker))
    job = await submit(broker)
    for vcpu in range(1, 12):
        found = await warnings.warning(Demand(((("VCPU", vcpu),),)), job)
        assert (found is None) == (vcpu <= 5)
        assert len(warnings._remembered) <= 3
