"""Jobs with terms of their own: when they may be granted, for how long, and after which others."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace
from redis.asyncio import Redis

from rq_broker.domain import errors
from rq_broker.domain.jobs import Job, Status
from rq_broker.domain.terms import Terms
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from rq_broker.store.keys import Keys, member
from tests.making import TYPE, bring, grant, publish, queue, submit

FAR = 4_000_000_000_000
"""A time in the year 2096, ms."""


async def _submit(broker: Broker, name: str, **terms: Any) -> Job:
    return await submit(broker, name, terms=Terms(**terms))


async def _soon(broker: Broker, ms: int = 5) -> int:
    return round(await broker.runner.now() * 1000) + ms


async def _sweep_until(broker: Broker, name: str, status: Status) -> Job:
    """Sweep until a job has a status and, if it is queued, a place in the line."""
    while True:
        await broker.sweep(TYPE)
        job = await broker.read(TYPE, name)
        if job.status is status and not job.is_beside:
            return job
        await asyncio.sleep(0.002)


async def _events(client: Redis) -> list[str]:
    entries: Any = await client.xrange(Keys(TYPE).of("events"))
    return [fields["status"] for _, fields in entries]


# Time


async def test_a_job_is_beside_the_line_until_its_time(broker: Broker, client: Redis) -> None:
    """Before `not_before` no pass sees the job; it has no position, and delays nobody."""
    early = await _submit(broker, "early", not_before=FAR)
    assert (early.status, early.position, early.is_beside) == (Status.QUEUED, None, True)
    await submit(broker, "other")
    heads = await broker.heads(TYPE, 0, 10, 10)
    assert [head.request_id for shape in heads.waiting for head in shape.heads] == ["other"]
    assert (await broker.read(TYPE, "other")).position == 1
    assert await broker.read(TYPE, "early") == replace(early, capacity_number="")
    assert (await broker.counts(TYPE))[Status.QUEUED] == 2
    assert await audit(client, TYPE) == []


async def test_its_place_is_that_of_its_submit(broker: Broker, client: Redis) -> None:
    """A job that joins the line at its time stands before the jobs submitted after it."""
    await _submit(broker, "early", not_before=await _soon(broker, 20))
    await submit(broker, "later")
    joined = await _sweep_until(broker, "early", Status.QUEUED)
    assert joined.position == 1
    assert await queue(broker) == ["early", "later"]
    await publish(broker)
    assert await grant(broker, joined)
    assert await audit(client, TYPE) == []


async def test_a_time_that_has_come_is_none(broker: Broker) -> None:
    """A job whose `not_before` is past stands in the line at once."""
    assert (await _submit(broker, "d", not_before=1)).position == 1


async def test_the_next_alarm_is_what_a_sweep_waits_for(broker: Broker) -> None:
    """A notifier is told when the job joins the line: it need not look before."""
    await _submit(broker, "d", not_before=await _soon(broker, 60_000))
    wait, _ = await broker.sweep(TYPE)
    assert wait is not None
    assert 0 < wait <= 60
    assert (await broker.due(TYPE)).sweep is not None


async def test_a_job_gives_up(broker: Broker, client: Redis) -> None:
    """A job that is not granted within `give_up_after` ends in error, without a callback."""
    await _submit(broker, "d", give_up_after=0.001)
    job = await _sweep_until(broker, "d", Status.ERROR)
    assert (job.cause, job.error) == ("gave_up", "gave_up: not granted within 0.001 s in the line")
    assert (await broker.claim(TYPE, 1.0, 10))[1] == []
    assert await audit(client, TYPE) == []


async def test_a_granted_job_does_not_give_up(broker: Broker, client: Redis) -> None:
    """The grant ends the count; the job that comes back to the line goes on with it."""
    job = await _submit(broker, "d", give_up_after=0.03)
    await publish(broker)
    assert await grant(broker, job)
    assert (await broker.sweep(TYPE))[1] == 0
    await asyncio.sleep(0.03)
    assert (await broker.sweep(TYPE))[1] == 0
    assert (await broker.read(TYPE, "d")).status is Status.GRANTED
    await broker.transition(TYPE, "d", Status.QUEUED)
    assert (await broker.sweep(TYPE))[1] == 1
    assert (await broker.read(TYPE, "d")).cause == "gave_up"
    assert await audit(client, TYPE) == []


async def test_time_beside_the_line_is_not_in_it(broker: Broker) -> None:
    """A job that waits for its time starts to count once it stands in the line."""
    await _submit(broker, "d", not_before=FAR, give_up_after=0.001)
    await asyncio.sleep(0.005)
    assert (await broker.sweep(TYPE))[1] == 0
    assert (await broker.read(TYPE, "d")).is_beside


async def test_a_requeue_counts_anew(broker: Broker) -> None:
    """A client that puts a job that gave up back in the queue gives it the whole time again."""
    await _submit(broker, "d", give_up_after=0.001)
    await _sweep_until(broker, "d", Status.ERROR)
    await broker.transition(TYPE, "d", Status.QUEUED)
    assert (await broker.read(TYPE, "d")).cause == ""
    await _sweep_until(broker, "d", Status.ERROR)


async def test_a_job_may_hold_at_most_so_long(broker: Broker, client: Redis) -> None:
    """Its running time ends where the policy sets none; a tenth before, an event tells of it."""
    job = await _submit(broker, "d", hold_at_most=0.05)
    await publish(broker)
    assert await grant(broker, job)
    await broker.transition(TYPE, "d", Status.RUNNING)
    ended = await _sweep_until(broker, "d", Status.ERROR)
    assert ended.error == "running time ended without renewal"
    assert (await broker.host(TYPE, "h1")).held == {}
    events = await _events(client)
    assert events == ["queued", "granted", "running", "expiring", "error"]
    assert await audit(client, TYPE) == []


async def test_the_shorter_running_time_counts(broker: Broker, client: Redis) -> None:
    """A job cannot hold longer than the policy lets it; a change of the policy counts anew."""
    job = await _submit(broker, "d", hold_at_most=3600.0)
    await publish(broker)
    await grant(broker, job)
    await broker.transition(TYPE, "d", Status.RUNNING)
    alarms, deadlines = Keys(TYPE).of("alarms"), Keys(TYPE).of("deadlines")
    name = member(job.id, "d")

    async def score(key: str) -> int:
        return int(await client.zscore(key, name) or 0)

    end, notice = await score(deadlines), await score(alarms)
    assert end - notice == 360_000
    await broker.set_policy(TYPE, {"running": 60})
    await broker.sweep(TYPE)
    sooner, notice = await score(deadlines), await score(alarms)
    assert end - sooner == 3_540_000
    assert sooner - notice == 6_000
    await broker.transition(TYPE, "d", Status.DONE)
    assert await client.zcard(alarms) == 0


async def test_a_job_before_its_time_waits_again(broker: Broker, client: Redis) -> None:
    """A job that its client ends and puts back before its time is beside the line again."""
    await _submit(broker, "d", not_before=FAR)
    await broker.transition(TYPE, "d", Status.DONE)
    assert await client.zcard(Keys(TYPE).of("alarms")) == 0
    await broker.transition(TYPE, "d", Status.QUEUED)
    assert (await broker.read(TYPE, "d")).is_beside
    assert await broker.transition(TYPE, "d", Status.QUEUED) is Status.QUEUED
    assert await audit(client, TYPE) == []


@pytest.mark.parametrize("status", ["withdrawn", Status.RUNNING, Status.DONE, Status.ERROR])
async def test_a_job_leaves_its_place_beside_the_line(
    broker: Broker, client: Redis, status: str
) -> None:
    """A job beside the line moves as a queued one does, and leaves nothing behind."""
    await submit(broker, "first")
    await _submit(broker, "d", not_before=FAR, after=("first",))
    await broker.set_expected(TYPE, "d", 60.0)
    await broker.reorder(TYPE, "d", "priority", "7")
    assert (await broker.read(TYPE, "d")).priority == 7
    if status == "withdrawn":
        await broker.withdraw(TYPE, "d")
    else:
        assert await broker.transition(TYPE, "d", Status(status)) is Status.QUEUED
    assert await client.exists(*map(Keys(TYPE).of, ("alarms", "status:beside"))) == 0
    assert await client.keys("*dependents*") == []
    assert await audit(client, TYPE) == []


@pytest.mark.parametrize("value", ["front", "d"])
async def test_no_place_in_the_line_is_given_beside_it(broker: Broker, value: str) -> None:
    """A relative reorder of a job beside the line, or next to one, is refused."""
    await submit(broker, "other")
    await _submit(broker, "d", not_before=FAR)
    name, mode = ("d", "position") if value == "front" else ("other", "after")
    with pytest.raises(errors.NotWaiting, match="beside the line"):
        await broker.reorder(TYPE, name, mode, value)


# Order


async def test_a_job_waits_for_those_it_comes_after(broker: Broker, client: Redis) -> None:
    """It joins the line, at the place of its submit, once the last of them is done."""
    await bring(broker, Status.DONE, "over")
    for name in ("a", "b"):
        await submit(broker, name)
    job = await _submit(broker, "d", after=("a", "over", "b"))
    await submit(broker, "later")
    assert (job.position, job.left) == (None, 2)
    assert await broker.read(TYPE, "d") == replace(job, capacity_number="")
    await broker.transition(TYPE, "a", Status.DONE)
    await broker.sweep(TYPE)
    assert (await broker.read(TYPE, "d")).left == 1
    assert await audit(client, TYPE) == []
    await broker.transition(TYPE, "b", Status.DONE)
    assert await audit(client, TYPE) == []
    await broker.sweep(TYPE)
    assert (await broker.read(TYPE, "d")).position == 1
    assert await queue(broker) == ["d", "later"]
    assert await audit(client, TYPE) == []


async def test_the_end_of_a_job_wakes_a_sweep(broker: Broker) -> None:
    """A notifier learns at once that dependents wait, also where it missed the wake-up."""
    await submit(broker, "a")
    await _submit(broker, "d", after=("a",))
    await broker.transition(TYPE, "a", Status.DONE)
    due = await broker.due(TYPE)
    assert "sweep" in due.markers
    assert due.sweep == 0


@pytest.mark.parametrize("end", ["error", "withdrawn"])
@pytest.mark.parametrize("any_end", [False, True])
async def test_a_failure_ends_those_that_wait_for_it(
    broker: Broker, client: Redis, end: str, any_end: bool
) -> None:
    """With `after_any` any end will do; without it a failure passes down the chain."""
    await submit(broker, "a")
    await submit(broker, "other")
    await _submit(broker, "b", after=("a", "other"), after_any=any_end)
    await _submit(broker, "c", after=("b",))
    if end == "error":
        await broker.transition(TYPE, "a", Status.ERROR, error="broke")
    else:
        await broker.withdraw(TYPE, "a")
    await broker.sweep(TYPE)
    b, c = [await broker.read(TYPE, name) for name in "bc"]
    if any_end:
        assert (b.left, c.left) == (1, 1)
    else:
        assert {(job.status, job.cause) for job in (b, c)} == {(Status.ERROR, "dependency_failed")}
        how = "ended in error" if end == "error" else "was withdrawn"
        assert b.error == f"dependency_failed: job a, for which it waited, {how}"
        assert await client.keys("*dependents*") == []
    assert await audit(client, TYPE) == []


async def test_a_job_waits_for_its_time_once_the_others_are_done(broker: Broker) -> None:
    """A job with both terms joins the line when both are met."""
    await submit(broker, "a")
    await _submit(broker, "d", after=("a",), not_before=FAR)
    await broker.transition(TYPE, "a", Status.DONE)
    await broker.sweep(TYPE)
    job = await broker.read(TYPE, "d")
    assert (job.is_beside, job.left) == (True, 0)
    assert (await broker.due(TYPE)).sweep is not None


async def test_unknown_and_failed_names_are_refused(broker: Broker, client: Redis) -> None:
    """A submit that could never start, or whose names say nothing, stores nothing."""
    await bring(broker, Status.ERROR, "failed")
    before = await client.keys("*")
    with pytest.raises(errors.UnknownDependency, match="after names nobody"):
        await _submit(broker, "d", after=("failed", "nobody"), after_any=True)
    with pytest.raises(errors.DependencyFailed, match="after names failed"):
        await _submit(broker, "d", after=("failed",))
    assert sorted(await client.keys("*")) == sorted(before)
    assert (await _submit(broker, "d", after=("failed",), after_any=True)).position == 1


async def test_a_job_that_is_forgotten_is_unknown(broker: Broker) -> None:
    """The name of a job whose retention ended, or that was withdrawn, is refused."""
    await bring(broker, Status.DONE, "a")
    await _submit(broker, "b", after=("a",))
    await broker.withdraw(TYPE, "a")
    with pytest.raises(errors.UnknownDependency):
        await _submit(broker, "c", after=("a",))


async def test_a_name_that_is_taken_again_is_another_job(broker: Broker) -> None:
    """What waits for a withdrawn job is not told of the end of the next one by its name."""
    await submit(broker, "a")
    await _submit(broker, "old", after=("a",))
    await broker.withdraw(TYPE, "a")
    await submit(broker, "a")
    await _submit(broker, "new", after=("a",))
    await broker.sweep(TYPE)
    assert (await broker.read(TYPE, "old")).status is Status.ERROR
    assert (await broker.read(TYPE, "new")).left == 1


async def test_a_repeated_submit_is_the_same_with_its_terms_only(broker: Broker) -> None:
    """Other terms are another submit; the terms of a job that left the line still count."""
    await submit(broker, "a")
    terms = {"not_before": FAR, "give_up_after": 1.5, "hold_at_most": 2.5, "after": ("a",)}
    await _submit(broker, "d", **terms, after_any=True)
    with pytest.raises(errors.DuplicateRequestId) as refusal:
        await _submit(broker, "d", **terms, after_any=True)
    assert refusal.value.details["same"] is True
    with pytest.raises(errors.DuplicateRequestId) as refusal:
        await _submit(broker, "d", **terms)
    assert refusal.value.details == {}


async def test_a_chain_of_thousands_ends_in_bounded_steps(broker: Broker, client: Redis) -> None:
    """Each sweep tells at most its limit of jobs, until the whole chain has failed."""
    await submit(broker, "0")
    for number in range(1, 500):
        await _submit(broker, str(number), after=(str(number - 1),))
    await broker.withdraw(TYPE, "0")
    steps = []
    while moved := (await broker.sweep(TYPE, 50))[1]:
        steps.append(moved)
    assert sum(steps) == 499
    assert max(steps) <= 50
    assert (await broker.counts(TYPE))[Status.ERROR] == 499
    assert await audit(client, TYPE) == []


async def test_many_wait_for_one(broker: Broker, client: Redis) -> None:
    """The dependents of one job join the line a bounded number at a time, in order."""
    await submit(broker, "first")
    names = [f"{number:03}" for number in range(120)]
    for name in names:
        await _submit(broker, name, after=("first",))
    await broker.transition(TYPE, "first", Status.DONE)
    assert (await broker.sweep(TYPE, 50))[1] == 50
    page = await broker.page(TYPE, status="queued")
    assert [job.request_id for job in page.jobs] == names
    assert [job.position for job in page.jobs] == [*range(1, 51), *[None] * 70]
    while (await broker.sweep(TYPE, 50))[1]:
        pass
    assert await queue(broker) == names
    assert await audit(client, TYPE) == []


# Mixed versions


@pytest.mark.parametrize(
    ("report", "is_refused"),
    [
        ('{{"reported":{now},"types":[]}}', True),
        ('{{"reported":{now},"types":["vm"]}}', True),
        ('{{"reported":{now},"types":["other"]}}', False),
        ('{{"reported":{now},"types":[],"contract":3}}', False),
        ('{{"reported":1,"types":[]}}', False),
        ("damaged", False),
    ],
)
async def test_an_older_notifier_refuses_terms(
    broker: Broker, client: Redis, report: str, is_refused: bool
) -> None:
    """While a notifier that would misread them serves the type, jobs with terms are refused."""
    now = round(await broker.runner.now() * 1000)
    await client.hset("rqb:notifiers", "old", report.format(now=now))
    await submit(broker, "plain")
    if is_refused:
        with pytest.raises(errors.OlderNotifiers, match="notifier old serves vm"):
            await _submit(broker, "d", give_up_after=60.0)
    else:
        await _submit(broker, "d", give_up_after=60.0)


async def test_a_notifier_of_this_version_takes_terms(broker: Broker) -> None:
    """What a notifier of this version reports refuses nothing."""
    await broker.report_notifier("new")
    await _submit(broker, "d", give_up_after=60.0)
