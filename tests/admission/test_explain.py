"""Explanations of waiting jobs, and what becomes of the forecasts they contain."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from redis.asyncio import Redis

from rq_broker import planner
from rq_broker.admission import explain as explain_module, holders as holders_module
from rq_broker.admission.explain import Explainer
from rq_broker.admission.held_capacity import Held
from rq_broker.admission.remarks import Remarks
from rq_broker.admission.snapshot import SnapshotReader, WindowedSnapshot
from rq_broker.domain import errors
from rq_broker.domain.jobs import Job, Status
from rq_broker.domain.planning import Snapshot
from rq_broker.domain.status_words import in_words
from rq_broker.planner import Explanation
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from rq_broker.store.keys import member
from tests.explaining import (
    KEYS,
    NO_ETA,
    add_history,
    dump,
    explanation_of,
    holding,
    queued,
)
from tests.making import TYPE, bring, grant, head_of, publish

# Explanations


async def test_an_explanation_says_all_there_is(broker: Broker, client: Redis) -> None:
    """Where the job stands, what is missing where, who holds it, and how much it could have now."""
    await publish(broker, "h1", VCPU=8)
    await publish(broker, "h2", VCPU=8)
    await holding(broker, "a", 3)
    await holding(broker, "b", 2, owner="lab")
    await holding(broker, "c", 7, "h2")
    await queued(broker, "d", 6)
    await queued(broker, "e", 6)
    explanation = await explanation_of(broker, "e")
    holders = explanation.pop("holders")
    assert explanation == {
        "position": 2,
        "jobs_of_its_shape_before": 1,
        "reason": {
            "code": "no_fit",
            "text": "needs VCPU 6 on one host; the most free is 3 on h1",
            "kind": "most_free",
            "resource": "VCPU",
            "needed": 6,
            "free": 3,
            "host": "h1",
        },
        "explains": "d",
        "hosts": ("h1",),
        "shortfalls": [{"host": "h1", "resource": "VCPU", "needed": 6, "free": 3}],
        "used_by_others": [],
        "protected": False,
        "reservation": None,
        "passed_since": None,
        "passed_by": [],
        "passed_by_others": 0,
        "largest": {"instances": 0, "percent": 50, "scaled": [{"VCPU": 3}]},
        "eta": NO_ETA,
        "eta_accuracy": {"within_p90": 0, "beyond_p90": 0},
    }
    assert all(holder.pop("seconds") >= 0 for holder in holders)
    assert all(holder.pop("ends") > time.time() - 60 for holder in holders)
    where = {"host": "h1", "resource": "VCPU", "overdue": False}
    assert sorted(holders, key=lambda holder: str(holder["request_id"])) == [
        {"request_id": "a", "owner_id": "o", "amount": 3, **where},
        {"request_id": "b", "owner_id": "lab", "amount": 2, **where},
    ]
    assert await audit(client, TYPE) == []


async def test_an_explanation_of_a_job_that_fits_names_its_hosts(broker: Broker) -> None:
    """A job about to be granted has no reason, no shortfalls and no holders."""
    await publish(broker)
    await queued(broker, "d", 1)
    explanation = await explanation_of(broker, "d")
    assert (explanation["reason"], explanation["hosts"]) == (None, ("h1",))
    assert (explanation["shortfalls"], explanation["holders"]) == ([], [])
    assert explanation["largest"] is None


async def test_an_explanation_says_which_jobs_pass(broker: Broker, client: Redis) -> None:
    """Since when a job is passed, by which next, and once patience ends, that it is protected."""
    await publish(broker, VCPU=8)
    await holding(broker, "holder", 4)
    job = await queued(broker, "big", 8)
    await queued(broker, "small", 2)
    name = member(job.id, "big")
    explanation = await explanation_of(broker, "big")
    assert (explanation["passed_by"], explanation["passed_since"]) == (["small"], None)
    await broker.note(TYPE, (), [head_of(job)])
    since = int(await client.hget(KEYS.of("passed"), name) or 0) / 1000
    explanation = await explanation_of(broker, "big")
    assert (explanation["protected"], explanation["passed_since"]) == (False, since)
    await client.hset(KEYS.of("passed"), name, "1")
    explanation = await explanation_of(broker, "big")
    assert (explanation["protected"], explanation["hosts"]) == (True, ("h1",))
    assert explanation["passed_by"] == []
    assert (await explanation_of(broker, "small"))["reason"]["code"] == "protected_other"


async def test_an_explanation_names_the_jobs_that_have_passed(broker: Broker) -> None:
    """They hold what the job could use and stand behind it in the queue; not those before it."""
    await publish(broker, VCPU=8)
    await holding(broker, "earlier", 3)
    big = await queued(broker, "big", 8)
    for request_id in ("later", "gone", "urgent"):
        await holding(broker, request_id, 1)
    await broker.reorder(TYPE, "urgent", "priority", "-1")
    await broker.transition(TYPE, "gone", Status.DONE)
    assert (await explanation_of(broker, "big"))["passed_by"] == []
    await broker.note(TYPE, (), [head_of(big)])
    assert (await explanation_of(broker, "big"))["passed_by"] == ["later"]
    await queued(broker, "next", 2)
    assert (await explanation_of(broker, "big"))["passed_by"] == ["later", "next"]


async def test_a_closed_destination_is_the_reason(broker: Broker, client: Redis) -> None:
    """No smaller size of the job would help, and its place is kept."""
    await bring(broker, Status.GRANTED)
    await client.zadd(KEYS.of("open"), {"http://x:80 o": 10**13})
    await queued(broker, "e", 1)
    explanation = await explanation_of(broker, "e")
    assert explanation["reason"]["code"] == "destination_closed"
    assert (explanation["position"], explanation["largest"]) == (1, None)


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.QUEUED])
async def test_only_waiting_jobs_are_explained(broker: Broker, status: Status) -> None:
    """A job that does not wait is a conflict, not an empty answer."""
    await bring(broker, status)
    with pytest.raises(errors.NotWaiting, match=f"d is {in_words(status)}"):
        await explanation_of(broker, "d")


async def test_a_job_that_leaves_while_it_is_explained_is_a_conflict(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that was queued when it was read and is gone from the snapshot is a conflict too."""
    await queued(broker, "d", 1)
    read = broker.read

    async def read_then_withdraw(type_: str, request_id: str, owners: None = None) -> Job:
        job = await read(type_, request_id, owners)
        await broker.withdraw(type_, request_id)
        return job

    monkeypatch.setattr(broker, "read", read_then_withdraw)
    with pytest.raises(errors.NotWaiting, match="left the queue"):
        await explanation_of(broker, "d")


async def test_clients_that_ask_at_once_share_a_snapshot(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those who ask while one is answered share the next snapshot, and a pass for each shape."""
    for name, vcpus in (("d0", 1), ("d1", 1), ("d2", 3), ("d3", 3)):
        await queued(broker, name, vcpus)
    snapshots = SnapshotReader(broker)
    explainer, explained = Explainer(snapshots), list[str]()
    read = snapshots.read
    reading, all_asked, reads = asyncio.Event(), asyncio.Event(), list[set[str]]()

    async def slow_read(type_: str, *, include: set[str], **named: Any) -> WindowedSnapshot:
        reads.append(include)
        reading.set()
        await all_asked.wait()
        return await read(type_, include=include, **named)

    def recorded(
        snapshot: Snapshot, digest: str, tables: planner.HostTables
    ) -> planner.Steps[Explanation]:
        explained.append(digest)
        return planner.explain_steps(snapshot, digest, tables)

    monkeypatch.setattr(snapshots, "read", slow_read)
    monkeypatch.setattr(explain_module, "explain_steps", recorded)
    first = asyncio.create_task(explainer.explain(TYPE, "d0"))
    await reading.wait()

    def asked_about() -> set[str]:
        question = explainer._questions.get(TYPE)
        return question.digests if question else set()

    others = [asyncio.create_task(explainer.explain(TYPE, f"d{n}")) for n in (1, 2, 3)]
    await _until(lambda: len(asked_about()) == 2)
    all_asked.set()
    jobs = await asyncio.gather(first, *others)
    assert [job.explanation.request_id for job in jobs] == ["d0", "d0", "d2", "d2"]
    assert [job.index_in_shape for job in jobs] == [0, 1, 0, 1]
    assert [len(digests) for digests in reads] == [1, 2]
    assert len(explained) == 3


async def test_those_who_ask_during_a_pause_share_the_next_answer(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an answer its type pauses as long as it took; meanwhile others join one question."""
    for name in ("d0", "d1", "d2"):
        await queued(broker, name, 1)
    explainer, reads = Explainer(SnapshotReader(broker)), list[str]()
    await explainer.explain(TYPE, "d0")
    assert explainer._turns._turns[TYPE].pause_ends > 0
    read = explainer._read

    async def recorded(type_: str, digests: set[str]) -> tuple[Snapshot, Held, Remarks]:
        reads.append(type_)
        return await read(type_, digests)

    monkeypatch.setattr(explainer, "_read", recorded)
    explainer._turns._turns[TYPE].pause(0.2)
    await asyncio.gather(*(explainer.explain(TYPE, f"d{number}") for number in range(3)))
    assert len(reads) == 1


async def _until(is_met: Callable[[], bool]) -> None:
    while not is_met():
        await asyncio.sleep(0)


async def test_holders_are_named_up_to_a_limit(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where very many jobs hold a host, only the first of them are named."""
    monkeypatch.setattr(holders_module, "MAX_HOLDERS", 2)
    await publish(broker, VCPU=4)
    for number in range(4):
        await holding(broker, f"h{number}", 1)
    await queued(broker, "d", 1)
    assert len((await explanation_of(broker, "d"))["holders"]) == 2


# Forecasts and what became of them


async def test_there_is_a_forecast_once_there_is_history(broker: Broker, client: Redis) -> None:
    """Nine observations are too few and the answer says so; the tenth gives p50 within p90."""
    await publish(broker, VCPU=1)
    await holding(broker, "holder", 1)
    await queued(broker, "d", 1)
    await add_history(client, *[100.0] * 9)
    eta = (await explanation_of(broker, "d"))["eta"]
    assert eta == NO_ETA
    assert await client.exists(KEYS.of("forecasts")) == 0
    await add_history(client, 100.0)
    eta = (await explanation_of(broker, "d"))["eta"]
    assert eta["reason"] is None
    assert 0 < eta["p50"] <= eta["p90"] <= 100.0


async def test_a_job_further_back_waits_longer(broker: Broker, client: Redis) -> None:
    """Each job of a shape before it costs about one holding time."""
    await publish(broker, VCPU=1)
    await holding(broker, "holder", 1)
    await add_history(client, *[100.0] * 20)
    for number in range(4):
        await queued(broker, f"d{number}", 1)
    waits = [(await explanation_of(broker, f"d{number}"))["eta"]["p50"] for number in range(4)]
    for earlier, later in pairwise(waits):
        assert later - earlier == pytest.approx(100.0, rel=0.15)


@pytest.mark.parametrize(("shift", "is_kept"), [(0, True), (-(10**9), False)])
async def test_the_first_forecast_is_judged_at_the_grant(
    broker: Broker, client: Redis, shift: int, is_kept: bool
) -> None:
    """The first ETA of a job is stored; the grant judges its p90, and later answers count it."""
    await publish(broker, VCPU=1)
    await holding(broker, "holder", 1)
    await add_history(client, *[100.0] * 20)
    job = await queued(broker, "d", 1)
    await explanation_of(broker, "d")
    first = await client.hgetall(KEYS.of("forecasts"))
    await explanation_of(broker, "d")
    assert await client.hgetall(KEYS.of("forecasts")) == first
    assert set(first) == {member(job.id, "d")}
    p90, p50 = str(first[member(job.id, "d")]).split()
    moved = f"{int(p90) + shift} {p50}"
    await client.hset(KEYS.of("forecasts"), member(job.id, "d"), moved)
    await broker.transition(TYPE, "holder", Status.DONE)
    assert await grant(broker, job) is not None
    await queued(broker, "e", 1)
    assert (await explanation_of(broker, "e"))["eta_accuracy"] == {
        "within_p90": int(is_kept),
        "beyond_p90": int(not is_kept),
    }
    assert await audit(client, TYPE) == []


async def test_the_accuracy_is_given_without_a_forecast_too(broker: Broker, client: Redis) -> None:
    """Where no forecast can be made now, the answer still counts how earlier ones held."""
    await publish(broker, VCPU=1)
    job = await queued(broker, "d", 1)
    await broker.forecast(TYPE, [(job, 60.0, 60.0)])
    await grant(broker, job)
    await queued(broker, "never", 9)
    explanation = await explanation_of(broker, "never")
    assert explanation["eta"]["p90"] is None
    assert explanation["eta_accuracy"] == {"within_p90": 1, "beyond_p90": 0}
    assert len(await client.hgetall(KEYS.of("forecasts"))) == 0


async def test_explaining_writes_nothing_but_the_forecast(broker: Broker, client: Redis) -> None:
    """Every key but `forecasts` is as it was."""
    await publish(broker, VCPU=1)
    await holding(broker, "holder", 1)
    await add_history(client, *[100.0] * 20)
    await queued(broker, "d", 1)
    before = await dump(client)
    await explanation_of(broker, "d")
    after = await dump(client)
    assert set(after) - set(before) == {KEYS.of("forecasts")}
    assert {name: after[name] for name in before} == before
