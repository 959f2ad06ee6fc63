"""The janitor: offers, running times and retention end, on both stores."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from redis.asyncio import Redis

from rq_broker.domain import errors
from rq_broker.domain.jobs import Status
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker, Settlement
from rq_broker.store.keys import Keys
from rq_broker.worker.janitor import Janitor
from tests.making import TYPE, bring, claim_one, settle, submit

SOON = 0.02
"""Seconds an offer, a running time or a retention lasts in these tests."""


async def _until_expired() -> None:
    await asyncio.sleep(2 * SOON)


async def _sweep(broker: Broker) -> float | None:
    return await Janitor(broker, TYPE).run_once()


async def test_without_deadlines_there_is_nothing_to_wait_for(broker: Broker) -> None:
    """With no deadline anywhere the janitor returns None."""
    assert await _sweep(broker) is None


async def test_the_next_deadline_is_returned(broker: Broker) -> None:
    """The janitor returns the seconds until the earliest deadline."""
    await broker.set_policy(TYPE, {"offer": 300.0, "running": 100.0})
    await bring(broker, Status.GRANTED, "a")
    first = await _sweep(broker)
    await bring(broker, Status.RUNNING, "b")
    second = await _sweep(broker)
    assert first is not None
    assert 250 < first <= 300
    assert second is not None
    assert second <= 100


async def test_an_offer_ends_in_error_with_its_capacity_free(broker: Broker, client: Redis) -> None:
    """A grant whose callback did not succeed in time fails its job and frees its capacity."""
    await broker.set_policy(TYPE, {"offer": SOON})
    await bring(broker, Status.GRANTED)
    await _until_expired()
    await _sweep(broker)
    job = await broker.read(TYPE, "d")
    assert job.status is Status.ERROR
    assert job.error == "offer expired before the callback succeeded"
    assert (await broker.host(TYPE, "h1")).held == {}
    assert (await broker.claim(TYPE, 1.0, 10))[1] == []
    assert await audit(client, TYPE) == []


async def test_an_offer_that_ends_names_the_last_cause(broker: Broker) -> None:
    """After failed attempts, the error names the cause of the last one."""
    await broker.set_policy(TYPE, {"offer": 10 * SOON})
    await bring(broker, Status.GRANTED)
    retry = Settlement("retry", cause="http_503", delay=SOON)
    await settle(broker, await claim_one(broker, SOON), retry)
    await asyncio.sleep(12 * SOON)
    await _sweep(broker)
    assert (await broker.read(TYPE, "d")).error == (
        "offer expired before the callback succeeded: http_503"
    )


async def test_a_running_time_ends_in_error_unless_renewed(broker: Broker) -> None:
    """A job may run for the policy's running time, counted from its last `running`."""
    await broker.set_policy(TYPE, {"running": 20 * SOON})
    await bring(broker, Status.RUNNING, "silent")
    await bring(broker, Status.RUNNING, "renewed")
    await asyncio.sleep(12 * SOON)
    await broker.transition(TYPE, "renewed", Status.RUNNING)
    await asyncio.sleep(10 * SOON)
    await _sweep(broker)
    silent = await broker.read(TYPE, "silent")
    assert (silent.status, silent.error) == (
        Status.ERROR,
        "running time ended without renewal",
    )
    assert (await broker.read(TYPE, "renewed")).status is Status.RUNNING
    assert (await broker.host(TYPE, "h1")).held == {"VCPU": 1}


async def test_by_default_a_silent_job_holds_for_366_days(broker: Broker, client: Redis) -> None:
    """Without a policy of its own a type ends what dead clients left after 366 days."""
    await bring(broker, Status.RUNNING)
    wait = await _sweep(broker)
    assert wait is not None
    assert wait == pytest.approx(366 * 86400, abs=60)
    deadlines: Any = await client.zrange(Keys(TYPE).of("deadlines"), 0, -1, withscores=True)
    long_ago = {member: deadline - wait * 1000 for member, deadline in deadlines}
    await client.zadd(Keys(TYPE).of("deadlines"), long_ago)
    await _sweep(broker)
    job = await broker.read(TYPE, "d")
    assert (job.status, job.error) == (Status.ERROR, "running time ended without renewal")
    assert (await broker.host(TYPE, "h1")).held == {}


async def test_null_means_for_ever(broker: Broker) -> None:
    """Without offer, running time and retention there is no deadline for any status."""
    await broker.set_policy(TYPE, {"offer": None, "running": None, "retention": None})
    for status in Status:
        await bring(broker, status, f"{status}")
    assert await _sweep(broker) is None
    assert sum((await broker.counts(TYPE)).values()) == len(Status)


@pytest.mark.parametrize("status", [Status.DONE, Status.ERROR])
async def test_retention_frees_both_names(broker: Broker, client: Redis, status: Status) -> None:
    """After its retention a job is gone, and its request_id and callback are free again."""
    await broker.set_policy(TYPE, {"retention": SOON})
    await bring(broker, status)
    await _until_expired()
    await _sweep(broker)
    with pytest.raises(errors.JobNotFound):
        await broker.read(TYPE, "d")
    assert await audit(client, TYPE) == []
    await submit(broker)


async def test_a_requeued_job_has_no_retention(broker: Broker) -> None:
    """A job that is queued again is not deleted when its former retention ends."""
    await broker.set_policy(TYPE, {"retention": SOON})
    await bring(broker, Status.DONE)
    await broker.transition(TYPE, "d", Status.QUEUED)
    await _until_expired()
    assert await _sweep(broker) is None
    assert (await broker.read(TYPE, "d")).status is Status.QUEUED


async def test_the_janitor_never_undoes_a_requeue(
    broker: Broker, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A requeue that succeeds, even during a sweep, keeps its job."""
    await broker.set_policy(TYPE, {"retention": SOON})
    await bring(broker, Status.DONE)
    await _until_expired()
    run, requeued = broker.runner.run, list[Status]()

    async def run_and_requeue(verb: str, type_: str, /, **arguments: Any) -> Any:
        reply = await run(verb, type_, **arguments)
        if verb == "sweep" and not requeued:
            with suppress(errors.JobNotFound):
                requeued.append(await broker.transition(TYPE, "d", Status.QUEUED))
        return reply

    monkeypatch.setattr(broker.runner, "run", run_and_requeue)
    await _sweep(broker)
    page = await broker.page(TYPE, status="queued")
    assert [job.request_id for job in page.jobs] == ["d"] * len(requeued)
    assert await audit(client, TYPE) == []


async def test_several_janitors_delete_each_job_once(broker: Broker) -> None:
    """Janitors that sweep the same jobs at once delete each one once, and none fails."""
    await broker.set_policy(TYPE, {"retention": 0.0})
    for number in range(8):
        await bring(broker, Status.DONE, f"d{number}")
    await asyncio.gather(*(_sweep(broker) for _ in range(3)))
    assert sum((await broker.counts(TYPE)).values()) == 0


async def test_more_than_one_batch_is_swept(broker: Broker) -> None:
    """The janitor sweeps until nothing is past its deadline."""
    await broker.set_policy(TYPE, {"retention": 0.0})
    for number in range(120):
        await submit(broker, f"d{number}")
        await broker.transition(TYPE, f"d{number}", Status.ERROR)
    assert await _sweep(broker) is None
    assert sum((await broker.counts(TYPE)).values()) == 0


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param({"id": "x"}, id="id"),
        pytest.param({"status": "lost"}, id="status"),
        pytest.param({"created": "yesterday"}, id="created"),
        pytest.param({"hosts": "no JSON"}, id="hosts"),
    ],
)
async def test_an_unreadable_job_does_not_delay_others(
    broker: Broker, client: Redis, damage: dict[str, str]
) -> None:
    """A job whose record is broken does not keep others from expiring."""
    await broker.set_policy(TYPE, {"retention": SOON})
    await bring(broker, Status.DONE, "broken")
    await bring(broker, Status.DONE, "sound")
    for name, text in damage.items():
        await client.hset(Keys(TYPE).of("job", "broken"), name, text)
    await _until_expired()
    await _sweep(broker)
    with pytest.raises(errors.JobNotFound):
        await broker.read(TYPE, "sound")
