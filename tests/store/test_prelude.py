"""The prelude: what would stop a script half-way stops it before its first write."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from rq_broker.domain import errors
from rq_broker.domain.capacity import Host
from rq_broker.domain.identity import ACTOR, Actor
from rq_broker.domain.jobs import Status
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from rq_broker.store.connection import connect
from rq_broker.store.embedded import Server, free_port
from rq_broker.store.keys import Keys
from rq_broker.store.prelude import FREEING, READS, commands, writes
from rq_broker.store.scripts import SCRIPTS, Script
from tests.making import TYPE, bring, publish, submit

FIT = Keys(TYPE).of("fit")
WRITES = {
    *(
        "DEL",
        "HDEL",
        "HINCRBY",
        "HSET",
        "HSETNX",
        "PERSIST",
        "PEXPIRE",
        "PUBLISH",
        "RENAME",
        "SADD",
        "SET",
        "SETRANGE",
    ),
    *("SREM", "XADD", "ZADD", "ZREM", "ZREMRANGEBYRANK", "ZREMRANGEBYSCORE"),
}
"""What scripts write with; a new command is to be put either here or into READS."""
WRITERS = [script for script in SCRIPTS.values() if writes(script.source)]


def test_every_command_is_known_as_a_read_or_a_write() -> None:
    """No script uses a command of which it is not said whether it writes."""
    used = {command for script in SCRIPTS.values() for command in commands(script.source)}
    assert used - READS - WRITES == set()


def test_readers_need_no_right_to_write() -> None:
    """What only reads has no prelude, so that it runs on a Redis that refuses writes."""
    readers = {"heads", "page", "read", "changed_holds", "running_holds", "type_state", "line"}
    readers |= {"audit_callbacks", "audit_jobs", "audit_owner", "audit_shapes"}
    assert readers <= SCRIPTS.keys() - {script.name for script in WRITERS}
    assert {script.name for script in WRITERS} >= FREEING


@pytest.mark.parametrize("script", WRITERS, ids=lambda script: script.name)
def test_the_prelude_comes_before_every_other_write(script: Script) -> None:
    """In what runs at the top of a script, the check of `…:fit` is the first write."""
    top = re.sub(r"^local function .*\n(?:.*\n)*?end$", "", script.source, flags=re.MULTILINE)
    first = next(
        match
        for match in re.finditer(r"redis\.(?:p?call|write|try_write)\('([A-Z]+)', ([^)]*)\)", top)
        if match[1] in WRITES
    )
    assert first[2].startswith("base .. ':fit'")


async def test_the_check_leaves_nothing_behind(broker: Broker, client: Redis) -> None:
    """After jobs went through all states, no key `…:fit` is there."""
    await bring(broker, Status.DONE)
    await broker.withdraw(TYPE, "d")
    assert not await client.exists(FIT)


HIGHEST_PORT = 55_000
"""A node of a cluster listens 10,000 ports higher too."""


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start servers with options; they end with the test."""
    started: list[Server] = []

    def start(*options: str) -> Server:
        port = next(port for port in iter(free_port, 0) if port < HIGHEST_PORT)
        started.append(Server(tmp_path / str(len(started)), options, port=port))
        started[-1].directory.mkdir()
        (started[-1].directory / "occupied").mkdir()
        started[-1].start()
        return started[-1]

    yield start
    for server in started:
        server.kill()


async def _state(admin: Redis) -> dict[str, Any]:
    return {str(name): await admin.dump(name) for name in await admin.keys()}


async def _bring_all(broker: Broker) -> None:
    await publish(broker)
    await submit(broker, "queued")
    await bring(broker, Status.GRANTED, "granted")
    await bring(broker, Status.RUNNING, "running")


VERBS: Mapping[str, Callable[[Broker], Awaitable[object]]] = {
    "submit": lambda broker: submit(broker, "new"),
    "withdraw": lambda broker: broker.withdraw(TYPE, "queued"),
    "reorder": lambda broker: broker.reorder(TYPE, "granted", "priority", "5"),
    "set_expected": lambda broker: broker.set_expected(TYPE, "running", 60.0),
    "set_host": lambda broker: broker.set_host(TYPE, Host("h2", {"VCPU": 1})),
    "claim": lambda broker: broker.claim(TYPE, 60.0, 10),
    "sweep": lambda broker: broker.sweep(TYPE),
    "turn": lambda broker: broker.turn(TYPE, "me", "take", 2.0),
    "note": lambda broker: broker.note(TYPE, (), ()),
    "transition": lambda broker: broker.transition(TYPE, "running", Status.DONE),
    "drop_host": lambda broker: broker.drop_host(TYPE, "h1"),
}
"""A script of each kind."""


async def _refused(broker: Broker, admin: Redis) -> set[str]:
    """Run all verbs; return those that Redis refused, each of which has written nothing."""
    refused = set()
    for verb, call in VERBS.items():
        before = await _state(admin)
        try:
            await call(broker)
        except errors.BrokerError:
            refused.add(verb)
            assert await _state(admin) == before, verb
    return refused


async def _clients(server: Server) -> tuple[Broker, Redis]:
    """Return a broker with its jobs, and a client of a user with all rights."""
    client, admin = connect(server.url), connect(server.url.replace("//", "//admin:x@"))
    assert isinstance(client, Redis)
    assert isinstance(admin, Redis)
    await client.execute_command("ACL", "SETUSER", "admin", "on", ">x", "~*", "&*", "+@all")
    broker = Broker(client)
    await _bring_all(broker)
    return broker, admin


@pytest.mark.parametrize("cause", ["replica", "replicas", "disk"])
async def test_what_redis_refuses_is_not_half_written(
    servers: Callable[..., Server], cause: str
) -> None:
    """Where Redis refuses all writes, every verb is refused and leaves each key as it was."""
    server = servers("--dbfilename", "occupied")
    broker, admin = await _clients(server)
    if cause == "replicas":
        await admin.config_set("min-replicas-to-write", 1)
    elif cause == "replica":
        await admin.execute_command("REPLICAOF", "127.0.0.1", "1")
    else:
        await admin.config_set("save", "3600 1")
        await admin.execute_command("BGSAVE")
        while (await admin.info("persistence"))["rdb_last_bgsave_status"] == "ok":
            await asyncio.sleep(0.02)
    assert await _refused(broker, admin) == VERBS.keys()
    await admin.aclose()
    await broker.aclose()


async def test_only_what_frees_memory_runs_at_maxmemory(servers: Callable[..., Server]) -> None:
    """At maxmemory jobs end and are withdrawn, with their lines; what adds to memory does not."""
    broker, admin = await _clients(servers())
    ACTOR.set(Actor("somebody"))
    await admin.config_set("maxmemory", 1)
    assert await _refused(broker, admin) == VERBS.keys() - FREEING
    await admin.config_set("maxmemory", 0)
    assert await audit(admin, TYPE) == []
    lines, _ = await broker.audit_log(TYPE)
    assert {line.verb for line in lines} >= {"transition", "withdraw"}
    await admin.aclose()
    await broker.aclose()


@pytest.mark.parametrize(
    "right", ["-@stream", "-@hash", "-@sortedset", "-@set", "-@keyspace", "-hincrby", "-time"]
)
async def test_a_missing_right_stops_a_script_at_its_start(
    servers: Callable[..., Server], right: str
) -> None:
    """Without the right to some commands a verb does all of its work or nothing."""
    broker, admin = await _clients(servers())
    if await admin.eval(CHECKS_RIGHTS, 0):
        await admin.execute_command("ACL", "SETUSER", "default", right)
        assert await _refused(broker, admin)
        await admin.execute_command("ACL", "SETUSER", "default", "+@all")
        assert await audit(admin, TYPE) == []
    await admin.aclose()
    await broker.aclose()


CHECKS_RIGHTS = "return redis.acl_check_cmd and 1 or 0"
"""Redis 6.2 has no way for a script to check rights."""


async def test_an_open_slot_is_not_half_written(servers: Callable[..., Server]) -> None:
    """While the slot of a type moves to another node, every verb is refused and writes nothing."""
    first, second = (servers("--cluster-enabled", "yes") for _ in range(2))
    clients = [Redis.from_url(server.url, decode_responses=True) for server in (first, second)]
    ids = [await client.execute_command("CLUSTER", "MYID") for client in clients]
    await clients[0].execute_command("CLUSTER", "ADDSLOTS", *range(16384))
    await clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", second.port)
    async with asyncio.timeout(20):
        while ids[1] not in str(await clients[0].execute_command("CLUSTER", "NODES")) or (
            "cluster_state:ok" not in str(await clients[0].execute_command("CLUSTER", "INFO"))
        ):
            await asyncio.sleep(0.05)
    broker = Broker(clients[0])
    await _bring_all(broker)
    slot = await clients[0].execute_command("CLUSTER", "KEYSLOT", Keys(TYPE).base)
    await clients[0].execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1])
    assert await _refused(broker, clients[0]) == VERBS.keys()
    await clients[0].execute_command("CLUSTER", "SETSLOT", slot, "STABLE")
    assert await _refused(broker, clients[0]) == set()
    assert await audit(clients[0], TYPE) == []
    for client in clients:
        await client.aclose()
