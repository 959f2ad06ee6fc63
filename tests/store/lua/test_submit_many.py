"""submit_many.lua, and the submits that gather for it: each job as if it were alone."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from redis.asyncio import Redis

from rq_broker.domain import errors
from rq_broker.domain.identity import ACTOR, Actor
from rq_broker.domain.jobs import Job
from rq_broker.domain.terms import Terms
from rq_broker.store import submit_batches
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from rq_broker.store.keys import Keys, digest
from rq_broker.store.scripts import SCRIPTS, Script
from tests.making import TYPE, queue, shape, submission, submit


@pytest.fixture
def runs(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Note of each script that submits its name and how many jobs it has."""
    noted: list[tuple[str, int]] = []
    evaluate = broker.runner.evaluate

    async def spied(script: Script, type_: str, values: Sequence[Any]) -> Any:
        if script.name in ("submit", "submit_many"):
            noted.append((script.name, int(values[0]) if script.name == "submit_many" else 1))
        return await evaluate(script, type_, values)

    monkeypatch.setattr(broker.runner, "evaluate", spied)
    return noted


def _names(outcomes: Sequence[Job | errors.BrokerError]) -> list[str]:
    return [each.request_id if isinstance(each, Job) else each.code for each in outcomes]


async def test_jobs_of_one_call_are_decided_one_after_the_other(
    broker: Broker, client: Redis, runs: list[tuple[str, int]]
) -> None:
    """A name and a callback that an earlier job of the call took are taken, a job that was refused
    takes nothing, and what a job waits for may stand before it."""
    await submit(broker, "first")
    jobs = [
        submission("a"),
        submission("a", callback="http://x/other"),
        submission("b", callback="http://x/a"),
        submission("first"),
        submission("c", terms=Terms(after=("a",))),
        submission("d", terms=Terms(after=("b",))),
        submission("b", callback="http://x/other"),
    ]
    outcomes = await broker.submit_many(TYPE, jobs)
    assert _names(outcomes) == [
        *("a", "duplicate_request_id", "duplicate_callback", "duplicate_request_id"),
        *("c", "unknown_dependency", "b"),
    ]
    assert ("submit_many", len(jobs)) in runs
    assert await queue(broker) == ["first", "a", "c", "b"]
    (waits,) = [job for job in outcomes if isinstance(job, Job) and job.request_id == "c"]
    assert (waits.is_beside, waits.left, waits.position) == (True, 1, None)
    assert await audit(client, TYPE) == []


async def test_limits_count_the_jobs_of_the_same_call(broker: Broker, client: Redis) -> None:
    """Of jobs beyond what an owner, or the type, may have waiting the later ones are refused."""
    await broker.set_policy(TYPE, {"queue_limits": {"o": {"jobs": 2}}, "most_waiting": 3})
    owners = ["o", "o", "o", "p", "p"]
    jobs = [submission(f"j{n}", owner_id=owner) for n, owner in enumerate(owners)]
    outcomes = await broker.submit_many(TYPE, jobs)
    assert _names(outcomes) == ["j0", "j1", "queue_full", "j3", "queue_full"]
    refusals = [str(each) for each in outcomes if isinstance(each, errors.QueueFull)]
    assert ["the owner" in text for text in refusals] == [True, False]
    assert await audit(client, TYPE) == []


async def test_the_bytes_of_the_same_call_count(broker: Broker, client: Redis) -> None:
    """Of jobs that take more than an owner's jobs may in all the later ones are refused."""
    await broker.set_policy(TYPE, {"queue_limits": {"*": {"bytes": 3000}}})
    outcomes = await broker.submit_many(TYPE, [submission(name) for name in "abcd"])
    assert _names(outcomes) == ["a", "b", "queue_full", "queue_full"]
    assert await audit(client, TYPE) == []


async def test_each_job_is_told_its_place(broker: Broker, client: Redis) -> None:
    """Whatever priorities and shapes the jobs have, their places and the heads are the line's."""
    priorities = [1 << 52, 5, None, -3, None, 5, None]
    await submit(broker, "there", priority=7, shape=shape({"VCPU": 3}))
    jobs = [
        submission(f"j{n}", priority=priority, shape=shape({"VCPU": 1 + n % 2}))
        for n, priority in enumerate(priorities)
    ]
    outcomes = await broker.submit_many(TYPE, jobs)
    line = await queue(broker)
    assert line == ["j3", "j1", "j5", "there", "j2", "j4", "j6", "j0"]
    places = {job.request_id: job.position for job in outcomes if isinstance(job, Job)}
    assert places == {name: place for place, name in enumerate(line, 1) if name != "there"}
    (read,) = [job for job in outcomes if isinstance(job, Job) and job.request_id == "j2"]
    assert read.version == (await broker.read(TYPE, "j2")).version
    heads = await broker.heads(TYPE, 0, 10, 10)
    assert sorted(shape.heads[0].request_id for shape in heads.waiting) == ["j2", "j3", "there"]
    assert await audit(client, TYPE) == []


async def test_names_per_owner_are_kept_apart(broker: Broker, client: Redis) -> None:
    """Where names are per owner, two owners have a job of one name and one callback in a call."""
    await broker.set_policy(TYPE, {"names": "per_owner"})
    jobs = [submission("d", owner_id=owner) for owner in ("o", "p", "o")]
    assert _names(await broker.submit_many(TYPE, jobs)) == ["d", "d", "duplicate_request_id"]
    assert await queue(broker) == ["o/d", "p/d"]
    assert await audit(client, TYPE) == []


async def test_concurrent_submits_share_scripts(
    broker: Broker, runs: list[tuple[str, int]]
) -> None:
    """Submits that wait at the same time are stored in their order by few scripts, each with the
    line of its own actor; one alone is stored by `submit`."""

    async def submit_as(number: int) -> Job:
        ACTOR.set(Actor(f"who{number}", "127.0.0.1", f"r{number}"))
        return await submit(broker, f"j{number}")

    names = [f"j{number}" for number in range(120)]
    await submit(broker, "alone")
    jobs = await asyncio.gather(*(submit_as(number) for number in range(120)))
    assert [job.request_id for job in jobs] == names
    assert [job.id for job in jobs] == list(range(2, 122))
    assert runs[0] == ("submit", 1)
    assert sum(count for _, count in runs) == 121
    assert len(runs) <= 6
    assert max(count for _, count in runs) <= submit_batches.MOST_JOBS
    lines, _ = await broker.audit_log(TYPE, limit=200)
    told = Counter((line.subject, line.who, line.http_request_id) for line in lines)
    assert told == Counter((f"j{n}", f"who{n}", f"r{n}") for n in range(120))


async def test_bodies_that_are_large_go_alone(broker: Broker, runs: list[tuple[str, int]]) -> None:
    """Jobs of more characters than one script may have are spread over several."""
    large = '"' + "x" * (submit_batches.MOST_CHARACTERS // 2) + '"'
    jobs = [submission(f"j{number}", data=large) for number in range(3)]
    outcomes = await broker.submit_many(TYPE, jobs)
    assert _names(outcomes) == ["j0", "j1", "j2"]
    assert [name for name, _ in runs] == ["submit"] * 3


async def test_a_caller_that_goes_away_takes_nobody_along(broker: Broker) -> None:
    """A submit that is cancelled before it is sent is not sent; those around it are stored."""
    await submit(broker, "first")
    tasks = [asyncio.create_task(submit(broker, name)) for name in "abc"]
    for _ in range(2):
        await asyncio.sleep(0)
    tasks[1].cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(outcomes[1], asyncio.CancelledError)
    assert set(await queue(broker)) >= {"first", "a", "c"}
    assert [job.request_id for job in outcomes if isinstance(job, Job)] == ["a", "c"]


async def test_no_caller_waits_for_a_script_that_was_given_up(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the connection is closed under a script, whoever waits for its reply is cancelled."""

    async def closed(*_: Any, **__: Any) -> Any:
        raise asyncio.CancelledError

    await submit(broker, "first")
    monkeypatch.setattr(broker.runner, "run", closed)
    waiting = [asyncio.create_task(submit(broker, name)) for name in "ab"]
    done, _ = await asyncio.wait(waiting, timeout=10)
    assert [task.cancelled() for task in done] == [True, True]


async def test_an_index_of_another_kind_harms_its_job_only(broker: Broker, client: Redis) -> None:
    """Where the index of one job's callback is no hash, that job is refused and no other."""
    await submit(broker, "first")
    callback = digest("http://x/b")
    await client.set(Keys(TYPE).of("callbacks", callback[:2]), "damaged")
    outcomes = await broker.submit_many(TYPE, [submission(name) for name in "abc"])
    assert _names(outcomes) == ["a", "internal_error", "c"]
    assert await queue(broker) == ["first", "a", "c"]


@pytest.mark.parametrize("count", [0, 101])
async def test_a_call_has_a_bounded_number_of_jobs(
    broker: Broker, client: Redis, count: int
) -> None:
    """A call of none or of too many jobs is refused as a whole, and writes nothing."""
    await submit(broker, "first")
    row = ["d", "o", "", "", "", "", "", "s", "[]", "1", "", "", "", "", "0", "0", "0", "0"]
    script = SCRIPTS["submit_many"]
    with pytest.raises(Exception, match="a call has 1 to 100 jobs"):
        await client.eval(script.source, 1, Keys(TYPE).base, count, *(row * count))
    assert await queue(broker) == ["first"]
