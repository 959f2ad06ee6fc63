"""set_expected.lua: how long a job says it will hold, changed after the submit."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from redis.asyncio import Redis

from rq_broker.domain import errors
from rq_broker.domain.jobs import Shape, Status
from rq_broker.domain.status_words import in_words
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from rq_broker.store.keys import Keys
from rq_broker.store.runner import Runner
from tests.making import TYPE, bring, head_of, queue, shape, submit

KEYS = Keys(TYPE)


async def waiting_shapes(broker: Broker) -> dict[Shape, list[str]]:
    """Return the request_ids of the waiting jobs, by shape."""
    heads = await broker.heads(TYPE, 0, 10, 10)
    return {waiting.shape: [head.request_id for head in waiting.heads] for waiting in heads.waiting}


def expecting(seconds: int | None) -> Shape:
    return replace(shape(), expected=seconds)


async def test_a_queued_job_moves_to_its_new_shape_and_keeps_its_place(
    broker: Broker, client: Redis
) -> None:
    """Its position, its mark as passed and its forecast stay; shapes are as if submitted."""
    jobs = [await submit(broker, name, priority=7) for name in ("a", "b", "c")]
    await broker.note(TYPE, (), [head_of(job) for job in jobs])
    await broker.forecast(TYPE, [(jobs[1], 60.0, 60.0)])
    marks = [await client.hgetall(KEYS.of(name)) for name in ("passed", "forecasts")]
    for name, seconds in (("b", 291.0), ("a", 300.0), ("c", None)):
        await broker.set_expected(TYPE, name, seconds)
        assert (await broker.read(TYPE, name)).expected == seconds
        assert await audit(client, TYPE) == []
    assert await queue(broker) == ["a", "b", "c"]
    assert await waiting_shapes(broker) == {expecting(300): ["a", "b"], expecting(None): ["c"]}
    assert [await client.hgetall(KEYS.of(name)) for name in ("passed", "forecasts")] == marks
    for name in ("a", "b"):
        await broker.set_expected(TYPE, name, None)
    assert await waiting_shapes(broker) == {expecting(None): ["a", "b", "c"]}
    assert await audit(client, TYPE) == []


@pytest.mark.parametrize("status", [Status.GRANTED, Status.RUNNING])
async def test_a_holding_job_is_expected_to_end_that_long_after_its_grant(
    broker: Broker, client: Redis, status: Status
) -> None:
    """Its prediction becomes what it says, and is forgotten if it does not say any more."""
    await bring(broker, status)
    name = KEYS.of("job", "d")
    await broker.set_expected(TYPE, "d", 90.5)
    fields = ["expected", "predicted", "predicted_from"]
    assert await client.hmget(name, fields) == ["90500", "90500", "expected"]
    assert await audit(client, TYPE) == []
    await broker.set_expected(TYPE, "d", None)
    assert await client.hmget(name, fields) == [None, None, None]
    await broker.set_expected(TYPE, "d", 60.0)
    await broker.transition(TYPE, "d", Status.QUEUED)
    assert await client.hmget(name, fields) == ["60000", None, None]
    assert await waiting_shapes(broker) == {expecting(60): ["d"]}
    assert await audit(client, TYPE) == []


async def test_a_job_that_runs_without_a_grant_has_no_prediction(
    broker: Broker, client: Redis
) -> None:
    """A job that its client set to running holds nothing that could come back."""
    await submit(broker)
    await broker.transition(TYPE, "d", Status.RUNNING)
    await broker.set_expected(TYPE, "d", 60.0)
    assert await client.hget(KEYS.of("job", "d"), "predicted") is None


async def test_changes_are_events_and_wake_the_granter(broker: Broker, client: Redis) -> None:
    """A change is in the stream of events; one of a hold may let later jobs go first."""
    await bring(broker, Status.RUNNING)
    await client.delete(KEYS.of("wake"))
    await broker.set_expected(TYPE, "d", 60.0)
    entries: Any = await client.xrevrange(KEYS.of("events"), count=1)
    ((_, event),) = entries
    assert (event["request_id"], event["status"]) == ("d", "expected")
    assert await client.zscore(KEYS.of("wake"), "grant") is not None
    assert (await broker.read(TYPE, "d")).updated > (await broker.read(TYPE, "d")).created


@pytest.mark.parametrize("status", [Status.DONE, Status.ERROR])
async def test_an_ended_job_is_refused(broker: Broker, status: Status) -> None:
    """A job that will not hold anything has nothing to expect."""
    await bring(broker, status)
    with pytest.raises(errors.Conflict, match=f"d is {in_words(status)}"):
        await broker.set_expected(TYPE, "d", 60.0)
    with pytest.raises(errors.JobNotFound):
        await broker.set_expected(TYPE, "nobody", 60.0)


async def test_the_policy_bounds_what_jobs_say(broker: Broker, client: Redis) -> None:
    """Above expected_most submit and update are refused by name, and leave no trace."""
    await broker.set_policy(TYPE, {"expected_most": 90.5})
    await submit(broker, "d", expected=90.5)
    before = await client.hgetall(KEYS.of("job", "d"))
    for call in (submit(broker, "e", expected=90.6), broker.set_expected(TYPE, "d", 90.6)):
        with pytest.raises(errors.ExpectedTooLong, match=r"expected must be at most 90\.5 seconds"):
            await call
    assert await client.hgetall(KEYS.of("job", "d")) == before
    await submit(broker, "e", expected=None)
    await broker.set_policy(TYPE, {"expected_most": None})
    await broker.set_expected(TYPE, "e", 1e9)
    assert (await broker.read(TYPE, "e")).expected == 1e9


async def test_the_shape_of_another_job_is_not_given_to_this_one(
    broker: Broker, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If another job takes the name between read and write, its own shape is changed."""
    await submit(broker)
    run = Runner.run
    interrupted = False

    async def interrupt(self: Runner, verb: str, type_: str, /, **arguments: Any) -> Any:
        nonlocal interrupted
        if arguments.get("demand") and not interrupted:
            interrupted = True
            await broker.withdraw(TYPE, "d")
            await submit(broker, shape=shape({"GPU": 2}))
        return await run(self, verb, type_, **arguments)

    monkeypatch.setattr(Runner, "run", interrupt)
    await broker.set_expected(TYPE, "d", 60.0)
    assert await waiting_shapes(broker) == {replace(shape({"GPU": 2}), expected=60): ["d"]}
    assert await audit(client, TYPE) == []
