"""The servers of running jobs: how they are spelled, and that no two jobs have one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from redis.asyncio import Redis

from rq_broker.domain import errors
from rq_broker.domain.jobs import Status
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from rq_broker.store.keys import Keys
from tests.making import TYPE, bring

ONE, TWO = "2f9c0a3e-71be-4c1d-9a55-0123456789ab", "71be0a3e-2f9c-4c1d-9a55-0123456789ab"
KEYS = Keys(TYPE)


async def watch(broker: Broker, naming: str, name: str = "lab") -> None:
    """Have a source of this naming begin a snapshot."""
    assert await broker.watch(TYPE, name, 1, 5.0, naming) is not None


async def servers_of(client: Redis, request_id: str = "d") -> str | bytes | None:
    return await client.hget(KEYS.of("job", request_id), "servers")


@pytest.mark.parametrize(
    "spelling",
    [ONE, ONE.upper(), ONE.replace("-", ""), f"{{{ONE}}}", f"urn:uuid:{ONE}", f"URN:UUID:{ONE}"],
)
async def test_a_uuid_is_kept_as_its_source_spells_it(
    broker: Broker, client: Redis, spelling: str
) -> None:
    """Every spelling of a UUID is the same server where a source names servers by UUIDs."""
    await watch(broker, "uuid")
    await bring(broker, Status.GRANTED)
    await broker.transition(TYPE, "d", Status.RUNNING, servers=(spelling,))
    assert await servers_of(client) == ONE
    assert await client.hgetall(KEYS.of("servers")) == {ONE: "d"}
    assert await audit(client, TYPE) == []


@pytest.mark.parametrize("name", ["web-1", ONE[:-1], f"{ONE}0", f"{{{ONE}", ONE.replace("a", "g")])
async def test_what_is_no_uuid_is_refused(broker: Broker, client: Redis, name: str) -> None:
    """A name that is no UUID is refused with its place, and the job stays as it was."""
    await watch(broker, "uuid")
    await watch(broker, "none", "file")
    await bring(broker, Status.GRANTED)
    with pytest.raises(errors.InvalidServer, match=r"servers\[1\].*lab"):
        await broker.transition(TYPE, "d", Status.RUNNING, servers=(ONE, name))
    assert (await broker.read(TYPE, "d")).status is Status.GRANTED
    assert await client.exists(KEYS.of("servers")) == 0


@pytest.mark.parametrize("naming", ["any", "none"])
async def test_other_sources_take_names_letter_by_letter(
    broker: Broker, client: Redis, naming: str
) -> None:
    """Where no source names servers by UUIDs, names are kept as they are given."""
    await watch(broker, naming)
    await bring(broker, Status.GRANTED)
    await broker.transition(TYPE, "d", Status.RUNNING, servers=("Web-1", ONE.upper()))
    assert await servers_of(client) == f"Web-1 {ONE.upper()}"


async def test_a_type_of_both_kinds_takes_any_name(broker: Broker, client: Redis) -> None:
    """Beside a source of another naming any name is taken, and UUIDs are still rewritten."""
    await watch(broker, "uuid")
    await watch(broker, "any", "benches")
    await bring(broker, Status.GRANTED)
    await broker.transition(TYPE, "d", Status.RUNNING, servers=("web-1", ONE.upper()))
    assert await servers_of(client) == f"web-1 {ONE}"


async def two_running(broker: Broker) -> None:
    """Have a run as ONE, and b granted."""
    await watch(broker, "uuid")
    for name in ("a", "b"):
        await bring(broker, Status.GRANTED, name)
    await broker.transition(TYPE, "a", Status.RUNNING, servers=(ONE,))


@pytest.mark.parametrize("is_running", [False, True])
async def test_two_jobs_cannot_name_one_server(
    broker: Broker, client: Redis, is_running: bool
) -> None:
    """The second job that names a server is refused before anything is written."""
    await two_running(broker)
    if is_running:
        await broker.transition(TYPE, "b", Status.RUNNING, servers=(TWO,))
    before = await client.hgetall(KEYS.of("job", "b"))
    with pytest.raises(errors.DuplicateServer, match=r"servers\[0\].*job a "):
        await broker.transition(TYPE, "b", Status.RUNNING, servers=(ONE.upper(), TWO))
    assert await client.hgetall(KEYS.of("job", "b")) == before
    assert await audit(client, TYPE) == []


async def test_one_call_cannot_name_a_server_twice(broker: Broker) -> None:
    """Two spellings of one server in a call are refused: its use would count twice."""
    await watch(broker, "uuid")
    await bring(broker, Status.GRANTED)
    with pytest.raises(errors.DuplicateServer, match=r"servers\[1\].*servers\[0\]"):
        await broker.transition(TYPE, "d", Status.RUNNING, servers=(ONE, ONE.upper()))
    assert (await broker.read(TYPE, "d")).status is Status.GRANTED


@pytest.mark.parametrize("end", [Status.DONE, Status.ERROR, Status.QUEUED, None])
async def test_a_server_is_free_once_its_job_has_left_running(
    broker: Broker, client: Redis, end: Status | None
) -> None:
    """After its job ended, was queued again or withdrawn (None), another may name the server."""
    await two_running(broker)
    if end is None:
        await broker.withdraw(TYPE, "a")
    else:
        await broker.transition(TYPE, "a", end)
    assert await client.exists(KEYS.of("servers")) == 0
    await broker.transition(TYPE, "b", Status.RUNNING, servers=(ONE,))
    assert await client.hgetall(KEYS.of("servers")) == {ONE: "b"}
    assert await audit(client, TYPE) == []


async def test_a_server_is_free_after_its_jobs_retention(broker: Broker, client: Redis) -> None:
    """A job that ran into the end of its running time, and of its retention, leaves no server."""
    await two_running(broker)
    await broker.set_policy(TYPE, {"running": 0.001, "retention": 0})
    await broker.transition(TYPE, "a", Status.RUNNING)
    for _ in range(2):
        await asyncio.sleep(0.005)
        await broker.sweep(TYPE, 10)
    with pytest.raises(errors.JobNotFound):
        await broker.read(TYPE, "a")
    assert await client.exists(KEYS.of("servers")) == 0


async def test_new_servers_replace_those_named_before(broker: Broker, client: Redis) -> None:
    """A job that names other servers gives up the earlier; the same again is no error."""
    await two_running(broker)
    await broker.transition(TYPE, "a", Status.RUNNING, servers=(ONE,))
    await broker.transition(TYPE, "a", Status.RUNNING, servers=(TWO,))
    assert await client.hgetall(KEYS.of("servers")) == {TWO: "a"}
    await broker.transition(TYPE, "b", Status.RUNNING, servers=(ONE,))
    assert await audit(client, TYPE) == []


async def test_of_many_that_name_one_server_at_once_one_has_it(
    real_client: Redis,
) -> None:
    """Of ten jobs that name one server at the same moment one runs, nine stay as they were."""
    real_broker = Broker(real_client)
    await watch(real_broker, "uuid")
    names = [f"j{number}" for number in range(10)]
    for name in names:
        await bring(real_broker, Status.GRANTED, name)
    outcomes = await asyncio.gather(
        *(real_broker.transition(TYPE, n, Status.RUNNING, servers=(ONE,)) for n in names),
        return_exceptions=True,
    )
    assert sum(outcome is Status.GRANTED for outcome in outcomes) == 1
    assert sum(isinstance(outcome, errors.DuplicateServer) for outcome in outcomes) == 9
    assert (await real_broker.counts(TYPE))[Status.GRANTED] == 9
    assert await audit(real_client, TYPE) == []


Damage = Callable[[Redis], Awaitable[object]]


@pytest.mark.parametrize(
    ("damage", "finding"),
    [
        (lambda client: client.hdel(KEYS.of("servers"), ONE), "gives to no job"),
        (lambda client: client.hset(KEYS.of("servers"), ONE, "x"), "gives to job x"),
        (lambda client: client.hset(KEYS.of("servers"), TWO, "a"), "does not run as it"),
    ],
)
async def test_the_audit_finds_and_mends_the_index(
    broker: Broker, client: Redis, damage: Damage, finding: str
) -> None:
    """An entry that is missing, or that a job does not bear out, is found and mended."""
    await two_running(broker)
    await damage(client)
    findings = await audit(client, TYPE)
    assert [finding in found.text for found in findings] == [True]
    await broker.repair(TYPE, findings)
    assert await audit(client, TYPE) == []


async def test_an_entry_that_no_job_bears_out_stops_nobody(broker: Broker, client: Redis) -> None:
    """A server whose job in the index is gone, or does not name it, may be named."""
    await two_running(broker)
    await client.hset(KEYS.of("servers"), TWO, "a")
    await broker.transition(TYPE, "b", Status.RUNNING, servers=(TWO,))
    assert await audit(client, TYPE) == []
