"""A submit that is repeated, with and without its idempotency key."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from redis.asyncio import Redis

from rq_broker.domain import errors
from rq_broker.domain.jobs import Status
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from rq_broker.store.keys import Keys
from tests.making import TYPE, bring, submission, submit
from tests.redis_reads import key_names

OTHERS: list[dict[str, Any]] = [
    {"data": '{"x":1}'},
    {"callback": "http://x/other"},
    {"priority": 1},
    {"expected": 60.0},
]
"""What makes a submit of job d another one than `submission("d")`."""


async def refusal_of(broker: Broker, *args: Any, **changes: Any) -> errors.BrokerError:
    """Return what refuses a submit of job d."""
    with pytest.raises(errors.Conflict) as refused:
        await broker.submit(TYPE, submission(**changes), *args)
    return refused.value


@pytest.mark.parametrize("status", list(Status))
async def test_a_repeated_submit_is_refused_and_shown_its_job(
    broker: Broker, status: Status
) -> None:
    """The refusal of a submit that was kept has `same` and the job as it is, in every status."""
    job = await bring(broker, status)
    refusal = await refusal_of(broker)
    assert type(refusal) is errors.DuplicateRequestId
    assert refusal.details == {"same": True, "data": job}


@pytest.mark.parametrize("status", [Status.QUEUED, Status.RUNNING, Status.DONE, Status.ERROR])
@pytest.mark.parametrize("by", ["request_id", "callback"])
async def test_a_refusal_names_the_job_and_until_when(
    broker: Broker, status: Status, by: str
) -> None:
    """It says which job has the name and until when; of another owner's job it says nothing."""
    job = await bring(broker, status)
    other = {"request_id": "e", "callback": job.callback}
    if by == "request_id":
        other = {"callback": "http://x/e"}
    refusal = await refusal_of(broker, **other)
    is_ = "in error" if status == Status.ERROR else status
    named = f"{by} is taken in this type by job d, now {is_}; it is free again"
    has_ended = status in (Status.DONE, Status.ERROR)
    end = "free again at 20" if has_ended else "free again when that job is deleted, or once"
    assert str(refusal).startswith(named)
    assert end in str(refusal)
    hidden = await refusal_of(broker, "", ["z"], owner_id="z", **other)
    hides = {"request_id": "request_id is taken in this type"}
    assert str(hidden) == hides.get(by, "callback is taken in this type by another job")
    await broker.set_policy(TYPE, {"retention": None})
    if status == Status.DONE:
        await broker.sweep(TYPE)
        assert str(await refusal_of(broker, **other)).endswith("again when that job is deleted")


@pytest.mark.parametrize("changes", [*OTHERS, {"owner_id": "p"}])
async def test_another_submit_of_the_name_is_not_the_same(
    broker: Broker, changes: dict[str, Any]
) -> None:
    """Another owner, data, callback, priority or expected: the refusal shows nothing."""
    await submit(broker)
    refusal = await refusal_of(broker, **changes)
    assert (type(refusal), refusal.details) == (errors.DuplicateRequestId, {})


@pytest.mark.parametrize(
    "given", [{"priority": 5, "expected": 60.0}, {"priority": 0}, {"expected": 0.5}, {}]
)
async def test_what_is_changed_later_leaves_a_submit_the_same(
    broker: Broker, given: dict[str, Any]
) -> None:
    """A repeated submit is compared with what was submitted, not with what reorders made of it."""
    await submit(broker, "e")
    await submit(broker, **given)
    for _ in range(2):
        await broker.reorder(TYPE, "d", "priority", "77")
        await broker.reorder(TYPE, "d", "position", "front")
        await broker.set_expected(TYPE, "d", 3600.0)
        await broker.set_expected(TYPE, "d", None)
        assert "same" in (await refusal_of(broker, **given)).details
    assert not (await refusal_of(broker, **given | {"priority": 77})).details
    assert not (await refusal_of(broker, **given | {"expected": 3600.0})).details


async def test_jobs_that_make_room_stay_the_same(broker: Broker) -> None:
    """A job that a reorder shifts keeps what its submit gave, and so does one that gave nothing."""
    await submit(broker, "b", priority=0)
    await submit(broker, "d", priority=1)
    await submit(broker, "c")
    await broker.reorder(TYPE, "c", "after", "b")
    assert (await broker.read(TYPE, "d")).priority > 1
    assert "same" in (await refusal_of(broker, priority=1)).details
    with pytest.raises(errors.DuplicateRequestId) as refused:
        await submit(broker, "c")
    assert "same" in refused.value.details


async def test_a_taken_callback_shows_the_job_if_only_the_name_differs(broker: Broker) -> None:
    """A client that makes up a new request_id for each attempt finds its job as well."""
    job = await submit(broker, callback="http://x/one")
    again = await refusal_of(broker, request_id="e", callback="http://x/one")
    assert type(again) is errors.DuplicateCallback
    assert again.details == {"same": True, "data": await broker.read(TYPE, job.request_id)}
    other = await refusal_of(broker, request_id="e", callback="http://x/one", data="[]")
    assert other.details == {}


async def test_a_submit_repeated_with_its_key_returns_its_job(broker: Broker) -> None:
    """It is stored once; the second call returns the job as it is now, and says so."""
    job = await broker.submit(TYPE, submission(), "k")
    assert not job.replayed
    await broker.transition(TYPE, "d", Status.RUNNING)
    again = await broker.submit(TYPE, submission(), "k")
    assert (again.id, again.status, again.replayed) == (job.id, Status.RUNNING, True)


@pytest.mark.parametrize("changes", [*OTHERS, {"request_id": "e", "callback": "http://x/e"}])
async def test_a_key_of_another_submit_is_refused(broker: Broker, changes: dict[str, Any]) -> None:
    """The key of an owner names one submit, whatever else is submitted with it."""
    await broker.submit(TYPE, submission(), "k")
    refusal = await refusal_of(broker, "k", **changes)
    assert type(refusal) is errors.IdempotencyKeyReused
    assert "job d" in str(refusal)
    assert refusal.details == {}


async def test_keys_are_of_one_owner_and_type(broker: Broker) -> None:
    """Owners and types may use equal keys: neither blocks nor sees the other's jobs."""
    await broker.submit(TYPE, submission(), "k")
    await broker.submit(TYPE, submission("e", owner_id="p"), "k")
    await broker.submit("kube", submission(), "k")


@pytest.mark.parametrize("first", ["", "k1"])
async def test_another_key_or_none_gets_no_job(broker: Broker, first: str) -> None:
    """A submit with another key than the first is another call: refused, and shown its job."""
    await broker.submit(TYPE, submission(), first)
    refusal = await refusal_of(broker, "k2")
    assert type(refusal) is errors.DuplicateRequestId
    assert refusal.details["same"] is True


async def test_a_key_is_forgotten_with_its_job(broker: Broker, client: Redis) -> None:
    """A withdrawn job leaves no trace of its key, which names a new submit then."""
    await broker.submit(TYPE, submission(), "k")
    assert await audit(client, TYPE) == []
    await broker.withdraw(TYPE, "d")
    prefix = Keys(TYPE).of("submit_keys")
    assert not [key for key in await key_names(client) if key.startswith(prefix)]
    assert not (await broker.submit(TYPE, submission("e"), "k")).replayed


async def test_attempts_at_once_store_one_job(broker: Broker) -> None:
    """Of 20 calls with one key, one stores the job and all others get it."""
    jobs = await asyncio.gather(*(broker.submit(TYPE, submission(), "k") for _ in range(20)))
    assert len({job.id for job in jobs}) == 1
    assert Counter(job.replayed for job in jobs) == {True: 19, False: 1}


async def test_a_damaged_job_is_shown_to_nobody(broker: Broker, client: Redis) -> None:
    """A submit of the name of a job that cannot be read is refused, with its key too."""
    await broker.submit(TYPE, submission(), "k")
    await client.hset(Keys(TYPE).of("job", "d"), "hosts", "torn")
    refusal = await refusal_of(broker, "k")
    assert (type(refusal), refusal.details) == (errors.DuplicateRequestId, {})
