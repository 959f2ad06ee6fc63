"""Whose jobs a caller may name: those of other owners do not exist for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from rq_broker.domain import errors
from rq_broker.domain.arrays import Template
from rq_broker.domain.jobs import Status
from rq_broker.domain.terms import Terms
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from rq_broker.store.keys import Keys
from tests.making import (
    TYPE,
    all_jobs,
    array_submission,
    bring,
    claim_one,
    grant,
    publish,
    shape,
    submission,
    submit,
)

Call = Callable[[Broker, str, Any], Awaitable[Any]]

CALLS: dict[str, Call] = {
    "read": lambda broker, name, owners: broker.read(TYPE, name, owners),
    "attempts": lambda broker, name, owners: broker.attempts(TYPE, name, owners),
    "transition": lambda broker, name, owners: broker.transition(TYPE, name, Status.DONE, owners),
    "reorder": lambda broker, name, owners: broker.reorder(TYPE, name, "priority", "7", owners),
    "set_expected": lambda broker, name, owners: broker.set_expected(TYPE, name, 9.0, owners),
    "withdraw": lambda broker, name, owners: broker.withdraw(TYPE, name, "key", owners),
}


async def _dump(client: Redis) -> dict[str, Any]:
    """Read what a refused call must not change."""
    names = [name async for name in client.scan_iter(match="*:job:*")]
    return {name: await client.hgetall(name) for name in names}


@pytest.mark.parametrize("owners", [["b"], ["b", "c"], []])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_a_job_of_another_owner_does_not_exist(
    broker: Broker, client: Redis, call: Call, owners: list[str]
) -> None:
    """Each call answers as for a name that nobody has, and changes nothing; its owner is served."""
    await submit(broker, "theirs", owner_id="a")
    await submit(broker, "gone", owner_id="a")
    await broker.withdraw(TYPE, "gone", "key", ["a"])
    before = await _dump(client)
    refusals = set()
    for name in ("theirs", "gone", "nobody"):
        with pytest.raises(errors.JobNotFound) as refusal:
            await call(broker, name, owners)
        refusals.add((type(refusal.value), str(refusal.value).replace(name, "?")))
    assert len(refusals) == 1
    assert await _dump(client) == before
    await call(broker, "theirs", ["a", "b"])


async def test_withdrawals_are_told_to_their_owner_only(broker: Broker) -> None:
    """A repeated withdrawal is replayed, or known as such, for who made it and for operators."""
    await submit(broker, owner_id="a")
    assert not await broker.withdraw(TYPE, "d", "key", ["a"])
    assert await broker.withdraw(TYPE, "d", "key", ["a"])
    for owners in (["a"], None):
        with pytest.raises(errors.AlreadyWithdrawn):
            await broker.withdraw(TYPE, "d", "other", owners)
    await submit(broker, owner_id="b")  # takes the name over
    with pytest.raises(errors.AlreadyWithdrawn):
        await broker.withdraw(TYPE, "d", "", ["a"])
    await submit(broker, "e", owner_id="a")
    assert (await broker.read(TYPE, "d", ["b"])).owner_id == "b"


async def test_a_submit_names_no_job_of_others(broker: Broker) -> None:
    """What is taken by another owner, or awaited of it, is not named, nor is that it is there."""
    await submit(broker, "theirs", owner_id="a", callback="http://x/taken")
    own = submission("own", owner_id="b", callback="http://x/taken")
    with pytest.raises(errors.DuplicateCallback) as refusal:
        await broker.submit(TYPE, own, "", ["b"])
    assert "theirs" not in str(refusal.value)
    assert not refusal.value.details
    with pytest.raises(errors.DuplicateCallback, match="by job theirs"):
        await broker.submit(TYPE, own)
    refusals = set()
    for name in ("theirs", "nobody"):
        waiting = submission("own", owner_id="b", terms=Terms(after=(name,)))
        with pytest.raises(errors.UnknownDependency) as unknown:
            await broker.submit(TYPE, waiting, "", ["b"])
        refusals.add(str(unknown.value).replace(name, "?"))
    assert len(refusals) == 1


async def test_a_server_of_others_has_no_job(broker: Broker) -> None:
    """A server that another owner's job has named is taken, and by which job is not told."""
    await publish(broker)
    for name, owner in (("theirs", "a"), ("own", "b")):
        job = await submit(broker, name, owner_id=owner)
        assert await grant(broker, job)
    await broker.transition(TYPE, "theirs", Status.RUNNING, servers=["s1"])
    with pytest.raises(errors.DuplicateServer) as refusal:
        await broker.transition(TYPE, "own", Status.RUNNING, ["b"], servers=["s1"])
    assert "theirs" not in str(refusal.value)
    with pytest.raises(errors.DuplicateServer, match="job theirs"):
        await broker.transition(TYPE, "own", Status.RUNNING, servers=["s1"])


async def test_destinations_of_an_owner(broker: Broker) -> None:
    """Receivers are listed of the owners that are asked for, and no others."""
    await publish(broker)
    for owner in ("a", "b"):
        wanted = shape(owner=owner, destination=f"http://{owner}:80")
        job = await submit(
            broker, owner, owner_id=owner, callback=f"http://{owner}/c", shape=wanted
        )
        assert await grant(broker, job, wanted)
    for owners in (["a"], ["a", "c"]):
        listed = (await broker.destinations(TYPE, owners=owners))[1]
        assert [(one.name, one.owner) for one in listed] == [("http://a:80", "a")]
    assert (await broker.destinations(TYPE, owners=[]))[1] == []


# Names per owner


@pytest.fixture
async def shared(broker: Broker) -> Broker:
    """Return a broker where the owners a and b each have a job d, with the same callback."""
    await broker.set_policy(TYPE, {"names": "per_owner"})
    for owner in ("a", "b"):
        await submit(broker, "d", owner_id=owner, callback="http://x/same")
    return broker


async def test_owners_share_a_name(shared: Broker, client: Redis) -> None:
    """Each owner's call reaches its own job, by the request_id alone, and the audit is clean."""
    assert {job.request_id for job in await all_jobs(shared)} == {"a/d", "b/d"}
    for owner in ("a", "b"):
        assert (await shared.read(TYPE, "d", [owner])).owner_id == owner
    await shared.transition(TYPE, "d", Status.DONE, ["a"])
    assert (await shared.read(TYPE, "d", ["a"])).status is Status.DONE
    assert (await shared.read(TYPE, "d", ["b"])).status is Status.QUEUED
    await shared.set_expected(TYPE, "d", 60.0, ["b"])
    assert await audit(client, TYPE) == []
    await shared.withdraw(TYPE, "d", "", ["a"])
    assert (await shared.read(TYPE, "d", ["b"])).status is Status.QUEUED
    with pytest.raises(errors.JobNotFound):
        await shared.withdraw(TYPE, "d")
    with pytest.raises(errors.AlreadyWithdrawn, match=r"^the job d was withdrawn"):
        await shared.withdraw(TYPE, "d", "", ["a"])
    await submit(shared, "d", owner_id="a", callback="http://x/same")
    assert await audit(client, TYPE) == []


async def test_a_job_of_several_owners_is_not_guessed(shared: Broker) -> None:
    """Who has several owners says whose job it means; who has all owners finds none by the name."""
    with pytest.raises(errors.Invalid, match="give owner_id"):
        await shared.read(TYPE, "d", ["a", "b"])
    with pytest.raises(errors.JobNotFound):
        await shared.read(TYPE, "d")
    with pytest.raises(errors.JobNotFound):
        await shared.read(TYPE, "a/d", ["b"])
    assert (await shared.read(TYPE, "b/d")).owner_id == "b"


async def test_names_and_callbacks_are_unique_for_their_owner(shared: Broker) -> None:
    """The owner's second job of a name, or callback, is refused; the sentence says by which."""
    again = submission("d", owner_id="a", callback="http://x/same")
    taken = "is taken among its owner's jobs by job d, now queued; it is free again when"
    with pytest.raises(errors.DuplicateRequestId, match=f"^request_id {taken}") as refusal:
        await shared.submit(TYPE, again)
    assert refusal.value.details["same"] is True
    with pytest.raises(errors.DuplicateCallback, match=f"^callback {taken}") as refusal_of_callback:
        await submit(shared, "e", owner_id="a", callback="http://x/same")
    assert refusal_of_callback.value.details["same"] is True
    array = array_submission(2, owner_id="a", callback=Template(("http://x/same",)))
    with pytest.raises(errors.DuplicateCallback, match=r"jobs by job d$"):
        await shared.submit_array(TYPE, array)
    first = await shared.submit(TYPE, submission("k", owner_id="a"), "key")
    replayed = await shared.submit(TYPE, submission("k", owner_id="a"), "key")
    assert (replayed.id, replayed.replayed) == (first.id, True)


async def test_neighbours_and_dependencies_are_of_the_same_owner(
    shared: Broker, client: Redis
) -> None:
    """`before` and `after` mean the owner's own jobs, though others have the same names."""
    await submit(shared, "e", owner_id="b")
    await shared.reorder(TYPE, "e", "before", "d", ["b"])
    queued = (await shared.page(TYPE, status="queued")).jobs
    assert [job.request_id for job in queued] == ["a/d", "b/e", "b/d"]
    await submit(shared, "f", owner_id="b", terms=Terms(after=("d",)))
    await shared.transition(TYPE, "d", Status.DONE, ["a"])
    assert (await shared.read(TYPE, "f", ["b"])).is_beside
    await shared.transition(TYPE, "d", Status.DONE, ["b"])
    await shared.sweep(TYPE)
    job = await shared.read(TYPE, "f", ["b"])
    assert (job.is_beside, job.terms) == (False, Terms(after=("d",)))
    assert await audit(client, TYPE) == []


async def test_an_array_is_awaited_by_its_owner(shared: Broker, client: Redis) -> None:
    """`s[*]` in `after` means the jobs of the owner's own array, in a job and in an array."""
    for owner in ("a", "b"):
        await shared.submit_array(
            TYPE, array_submission(2, owner_id=owner, shapes=(shape(owner=owner),))
        )
    terms = Terms(after=("s[*]",))
    await submit(shared, "f", owner_id="b", terms=terms)
    urls = Template(("http://x/t-", ""))
    changes = {"terms": terms, "callback": urls, "shapes": (shape(owner="b"),)}
    await shared.submit_array(TYPE, array_submission(1, "t", owner_id="b", **changes))
    for name in ("f", "t[0]"):
        job = await shared.read(TYPE, name, ["b"])
        assert (job.is_beside, job.terms) == (True, Terms(after=("s[0]", "s[1]")))
    for number in range(2):
        await shared.transition(TYPE, f"s[{number}]", Status.DONE, ["b"])
    await shared.sweep(TYPE)
    assert not (await shared.read(TYPE, "f", ["b"])).is_beside
    assert await audit(client, TYPE) == []


async def test_a_shared_name_goes_through_a_grant_and_its_retention(
    shared: Broker, client: Redis
) -> None:
    """Granting, calling back, requeueing and forgetting a job leave the other's alone."""
    await publish(shared)
    job = await shared.read(TYPE, "d", ["a"])
    assert await grant(shared, job)
    delivery = await claim_one(shared)
    assert (delivery.job.request_id, delivery.job.owner_id) == ("a/d", "a")
    await shared.transition(TYPE, "d", Status.DONE, ["a"])
    assert await audit(client, TYPE) == []
    await shared.set_policy(TYPE, {"retention": 0})
    while not (await shared.sweep(TYPE))[1]:
        pass
    assert [left.request_id for left in await all_jobs(shared)] == ["b/d"]
    assert await audit(client, TYPE) == []


async def test_names_change_only_without_jobs(broker: Broker, client: Redis) -> None:
    """With a job of any status the policy keeps its `names`, and everything else of the change."""
    await bring(broker, Status.DONE)
    with pytest.raises(errors.Conflict, match="no job"):
        await broker.set_policy(TYPE, {"patience": 1, "names": "per_owner"})
    assert (await broker.policy(TYPE)).patience == 300
    await broker.set_policy(TYPE, {"names": "per_type"})
    await broker.withdraw(TYPE, "d")
    assert (await broker.set_policy(TYPE, {"names": "per_owner"})).names == "per_owner"
    await submit(broker)
    assert await client.exists(Keys(TYPE).of("job", "o/d"))


async def test_damaged_entries_of_shared_names_are_mended(shared: Broker, client: Redis) -> None:
    """The audit finds a callback that the index lost, and the repair puts the owner's own back."""
    for name in [key async for key in client.scan_iter(match="*:callbacks:*")]:
        await client.delete(name)
    assert await audit(client, TYPE) != []
    for _ in range(3):
        await shared.repair(TYPE, await audit(client, TYPE))
    assert await audit(client, TYPE) == []
    with pytest.raises(errors.DuplicateCallback):
        await submit(shared, "e", owner_id="b", callback="http://x/same")
