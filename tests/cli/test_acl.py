"""`rq-broker acl`: each role's line is enough for what the role does, on a real server."""

from __future__ import annotations

import shlex
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from redis import exceptions
from redis.asyncio import Redis

from rq_broker.domain.capacity import Host
from rq_broker.domain.jobs import Status
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from rq_broker.store.deliveries import Settlement
from tests.cli.running import invoke
from tests.making import TYPE, bring, claim_one, grant, settle, submit
from tests.redis_users import logged_in


@pytest.fixture
async def as_role(real_client: Redis) -> AsyncIterator[Callable[..., Awaitable[Redis]]]:
    """Make a user by the printed line; returns a client of that user."""
    clients = []

    async def make(role: str, *options: str) -> Redis:
        printed = invoke("acl", "--role", role, "--user", "u", *options)
        assert printed.exit_code == 0, printed.output
        await real_client.execute_command(*shlex.split(printed.output.replace("PASSWORD", "pw")))
        clients.append(logged_in(real_client, "u"))
        return clients[-1]

    yield make
    for client in clients:
        await client.aclose()
    await real_client.execute_command("ACL", "DELUSER", "u")


async def _live(broker: Broker, type_: str = TYPE) -> None:
    """Pass jobs through every status."""
    await broker.ping()
    await broker.set_host(type_, Host("h1", {"VCPU": 64}))
    await broker.set_policy(type_, {"holds": "until_seen", "share": {"by": "owner"}})
    for status in Status:
        await bring(broker, status, f"{status}", type_)
    await settle(broker, await claim_one(broker, type_=type_), Settlement("delivered"))
    await broker.sweep(type_)
    await broker.withdraw(type_, "queued")


@pytest.mark.parametrize("role", ["api", "notifier"])
async def test_the_brokers_own_roles_live_a_whole_life(
    as_role: Callable[..., Awaitable[Redis]], real_client: Redis, role: str
) -> None:
    """With the line of api or notifier jobs pass through every status, and the audit is clean."""
    await _live(Broker(await as_role(role)))
    assert await audit(real_client, TYPE) == []


async def test_a_submitter_submits_and_ends_its_jobs(
    as_role: Callable[..., Awaitable[Redis]], real_client: Redis
) -> None:
    """The line of submitter is enough for what a client does with its jobs."""
    broker, own = Broker(real_client), Broker(await as_role("submitter", "--type", TYPE))
    await broker.set_host(TYPE, Host("h1", {"VCPU": 64}))
    job = await submit(own)
    await own.ping()
    await own.set_expected(TYPE, "d", 60.0)
    await own.reorder(TYPE, "d", "priority", "3")
    assert (await own.page(TYPE, limit=1)).jobs
    await grant(broker, await broker.read(TYPE, job.request_id))
    await own.transition(TYPE, "d", Status.RUNNING)
    await own.transition(TYPE, "d", Status.DONE)
    await submit(own, "e")
    await own.withdraw(TYPE, "e")
    with pytest.raises(exceptions.NoPermissionError):
        await (await as_role("submitter", "--type", TYPE)).hgetall("rqb:{kube}:job:d")
    assert await audit(real_client, TYPE) == []


async def test_a_granter_grants(
    as_role: Callable[..., Awaitable[Redis]], real_client: Redis
) -> None:
    """The line of granter is enough to read the queue, to grant, and to end offers."""
    broker, own = Broker(real_client), Broker(await as_role("granter"))
    await broker.set_host(TYPE, Host("h1", {"VCPU": 64}))
    job = await submit(broker)
    assert await own.turn(TYPE, "g", "take", 1.0)
    assert (await own.type_state(TYPE)).hosts
    assert await grant(own, job)
    await own.note(TYPE, (), ())
    await own.sweep(TYPE)
    await own.turn(TYPE, "g", "give", 1.0)
    assert await audit(real_client, TYPE) == []


async def test_a_reader_reads_and_audits(
    as_role: Callable[..., Awaitable[Redis]], real_client: Redis
) -> None:
    """The line of reader is enough for every question and for the audit, and writes nothing."""
    await _live(Broker(real_client))
    client = await as_role("reader")
    own = Broker(client)
    assert (await own.types())[TYPE]
    assert await own.hosts(TYPE)
    assert (await own.read(TYPE, "running")).status is Status.RUNNING
    await own.page(TYPE, limit=10)
    await own.sources(TYPE)
    await own.destinations(TYPE, 10)
    await own.attempts(TYPE, "done")
    await own.line(TYPE)
    assert await audit(client, TYPE) == []
    with pytest.raises(exceptions.NoPermissionError):
        await client.set("rqb:x", "1")


def test_the_line_names_its_parts() -> None:
    """The line has the user, the keys of the type, and quotes for a name with a space."""
    output = invoke("acl", "--role", "reader", "--type", "a b").output
    assert output.startswith("ACL SETUSER rq-broker-reader reset on >PASSWORD resetkeys ")
    assert '"~rqb:{a?b}:*"' in output
    assert "&rqb:wake" in output
    assert invoke("acl", "--role", "nobody").exit_code == 2
