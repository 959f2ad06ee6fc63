"""submit_array.lua: many jobs in one step, whole or not at all."""

from __future__ import annotations

from types import MethodType
from typing import Any, cast

import pytest
from redis.asyncio import Redis

from rq_broker.domain import errors
from rq_broker.domain.arrays import STEP, Template
from rq_broker.domain.jobs import Status
from rq_broker.domain.terms import Terms
from rq_broker.store.arrays import Arrays
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from rq_broker.store.keys import Keys, digest
from tests.making import TYPE, array_submission, bring, queue, shape, submit

KEYS = Keys(TYPE)


async def _run(broker: Broker, start: int, count: int, **changes: Any) -> Any:
    """Store one step of an array."""
    arrays: Any = cast(MethodType, broker.submit_array).__self__
    new = array_submission(count, **changes)
    return await arrays._step(TYPE, new, start, submit_key=None, owners=None, only_check=False)


async def test_its_jobs_are_as_if_submitted_one_by_one(broker: Broker, client: Redis) -> None:
    """Order, indexes and fields are those of single jobs, but for the priority that they share."""
    await submit(broker, "before")
    await broker.submit_array(TYPE, array_submission(3, expected=60.0, terms=Terms(None, 9.0)))
    await submit(broker, "behind")
    assert await queue(broker) == ["before", "s[0]", "s[1]", "s[2]", "behind"]
    job, single = await broker.read(TYPE, "s[1]"), await broker.read(TYPE, "behind")
    assert (job.data, job.callback, job.expected) == ('{"n":"1"}', "http://x/s-1", 60.0)
    assert job.terms == Terms(None, 9.0)
    assert (job.shape, job.position, single.position) == (single.shape, 3, 5)
    assert await audit(client, TYPE) == []


async def test_a_job_keeps_all_of_its_fields(broker: Broker) -> None:
    """Whoever calls the script may fold data into any number of fields, as with submit."""
    pieces = [text for n in range(2, 400) for text in (f"data{n}", "y" * 64)]
    fields = ["callback", "http://x/s-0", "data", "x" * 64, *pieces]
    row = {"callback": digest("http://x/s-0"), "shape": 1, "fields": fields}
    arguments = dict.fromkeys(
        ("submit_key", "priority", "expected", "at_once", "prefer_for"), None
    ) | {
        "array": "s",
        "per_owner": False,
        "start": 0,
        "size": 1,
        "only_check": False,
        "owner_id": "o",
        "submission": "x",
        "kinds": 1,
        "terms": (),
        "after": (),
        "owners": (),
        "shapes": [{"shape": digest(shape().canonical()), "demand": shape().canonical()}],
        "jobs": [row],
    }
    await broker.runner.run("submit_array", TYPE, **arguments)
    assert len((await broker.read(TYPE, "s[0]")).data) == 64 * 399


@pytest.mark.parametrize("taken", ["name", "callback"])
async def test_a_step_is_whole_or_not_at_all(broker: Broker, client: Redis, taken: str) -> None:
    """A name or callback that is taken in a later step leaves nothing of the earlier ones."""
    other = STEP + 1
    if taken == "name":
        await submit(broker, f"s[{other}]")
    else:
        await submit(broker, "d", callback=f"http://x/s-{other}")
    before = sorted(await client.keys())
    error = errors.DuplicateRequestId if taken == "name" else errors.DuplicateCallback
    with pytest.raises(error, match=rf"s\[{other}\] is taken"):
        await broker.submit_array(TYPE, array_submission(STEP + 2))
    assert sorted(await client.keys()) == before


async def test_a_submit_that_was_cut_short_goes_on(broker: Broker, client: Redis) -> None:
    """A repetition stores the steps that are missing, at the place of the first."""
    await _run(broker, 0, 2 * STEP)
    await submit(broker, "behind")
    assert not (await broker.read_array(TYPE, "s")).is_complete
    assert await audit(client, TYPE) == []
    array = await broker.submit_array(TYPE, array_submission(2 * STEP))
    assert (array.is_complete, sum(array.counts.values())) == (True, 2 * STEP)
    assert (await broker.read(TYPE, "behind")).position == 2 * STEP + 1
    assert (await broker.read(TYPE, f"s[{STEP}]")).position == STEP + 1
    with pytest.raises(errors.DuplicateRequestId) as refusal:
        await broker.submit_array(TYPE, array_submission(2 * STEP))
    assert refusal.value.details == {"same": True}
    assert await audit(client, TYPE) == []


async def test_a_name_taken_in_between_takes_all_back(
    broker: Broker, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another client takes after the check, and before its step, leaves no half an array."""
    step = Arrays._step

    async def slow(self: Arrays, *args: Any, **options: Any) -> Any:
        reply = await step(self, *args, **options)
        if options["only_check"]:
            await submit(broker, f"s[{STEP}]")
        return reply

    monkeypatch.setattr(Arrays, "_step", slow)
    with pytest.raises(errors.DuplicateRequestId, match=rf"s\[{STEP}\] is taken"):
        await broker.submit_array(TYPE, array_submission(STEP + 1))
    assert await queue(broker) == [f"s[{STEP}]"]
    assert await client.exists(KEYS.of("array", "s")) == 0
    assert await audit(client, TYPE) == []


async def test_a_step_without_those_before_it_is_refused(broker: Broker, client: Redis) -> None:
    """An array that is withdrawn while it is submitted does not come back by its later steps."""
    with pytest.raises(errors.Conflict, match="was withdrawn while it was submitted"):
        await _run(broker, STEP, 2 * STEP)
    assert await client.exists(KEYS.of("array", "s")) == 0


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"expected": 61.0}, errors.ExpectedTooLong),
        ({"terms": Terms(after=("nobody",))}, errors.UnknownDependency),
        ({"terms": Terms(after=("failed",))}, errors.DependencyFailed),
        ({"callback": Template(("http://x/t", ""))}, errors.DuplicateCallback),
    ],
)
async def test_what_a_submit_refuses_is_refused(
    broker: Broker, client: Redis, changes: dict[str, Any], error: type[errors.BrokerError]
) -> None:
    """Each refusal of a single job is one of the array, and stores nothing."""
    await broker.set_policy(TYPE, {"expected_most": 60})
    failed = await submit(broker, "failed", callback="http://x/t0")
    await broker.transition(TYPE, failed.request_id, Status.ERROR)
    before = sorted(await client.keys())
    with pytest.raises(error):
        await broker.submit_array(TYPE, array_submission(2, **changes))
    assert sorted(await client.keys()) == before


async def test_jobs_of_an_array_wait_for_others(broker: Broker, client: Redis) -> None:
    """With `after` all of them are beside the line, and join it together at its place."""
    await submit(broker, "a")
    await broker.submit_array(TYPE, array_submission(3, terms=Terms(after=("a",))))
    assert (await broker.read_array(TYPE, "s")).waiting == "s[0]"
    assert await audit(client, TYPE) == []
    await broker.transition(TYPE, "a", Status.DONE)
    await broker.sweep(TYPE)
    assert await queue(broker) == ["s[0]", "s[1]", "s[2]"]
    assert await audit(client, TYPE) == []


async def test_an_older_notifier_refuses_arrays(broker: Broker, client: Redis) -> None:
    """While a notifier that does not know arrays serves the type, none is taken."""
    now = round(await broker.runner.now() * 1000)
    report = f'{{"reported":{now},"types":[],"contract":3}}'
    await client.hset("rqb:notifiers", "old", report)
    with pytest.raises(errors.OlderNotifiers, match="notifier old serves vm"):
        await broker.submit_array(TYPE, array_submission(2))
    await submit(broker, "d", terms=Terms(give_up_after=60.0))


async def test_the_memory_of_a_job_is_that_of_a_single_one(
    real_client: Redis,
) -> None:
    """A job of an array takes at most a tenth more than one that was submitted alone."""
    broker = Broker(real_client)

    async def used() -> int:
        keys = await real_client.keys()
        return sum([await real_client.memory_usage(key, samples=0) or 0 for key in keys])

    await bring(broker, Status.QUEUED, "warm")
    start = await used()
    for number in range(500):
        await submit(
            broker, f"t[{number}]", data=f'{{"n":"{number}"}}', callback=f"http://x/t-{number}"
        )
    single = await used() - start
    await broker.submit_array(TYPE, array_submission(500))
    array = await used() - start - single
    await real_client.delete(KEYS.of("events"))
    assert array <= 1.1 * single


async def test_a_job_named_as_the_next_of_an_array_is_none_of_it(
    broker: Broker, client: Redis
) -> None:
    """`s[2]`, submitted by itself right behind an array of two jobs, is none of its jobs."""
    array = await broker.submit_array(TYPE, array_submission(2))
    await submit(broker, "s[2]")
    assert sum((await broker.read_array(TYPE, "s")).counts.values()) == 2
    assert await audit(client, TYPE) == []
    await broker.withdraw(TYPE, "s[0]")
    await broker.withdraw(TYPE, "s[2]")
    assert (await broker.read_array(TYPE, "s")).counts[Status.QUEUED] == 1
    await broker.withdraw_array(array)
    assert not await client.exists(KEYS.of("array", "s"))
