"""The rights of roles: what they are derived from, and what the check of a user finds."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis import exceptions
from redis.asyncio import Redis

import rq_broker.store
from rq_broker.store import acl
from rq_broker.store.connection import in_memory
from tests.redis_reads import key_names
from tests.redis_users import logged_in

NOTIFIER = acl.ROLES["notifier"]
UNPROBED = {"CLUSTER|SHARDS", "CLUSTER|SLOTS", "COMMAND", "EXEC", "MULTI", "SELECT"}
"""Commands that write nothing and that no script calls: a process without them fails whole."""


@asynccontextmanager
async def user(client: Redis, *rules: str) -> AsyncIterator[Redis]:
    """Make a user with these rules, and a client of that user."""
    await client.execute_command("ACL", "SETUSER", "tester", "reset", "on", ">pw", *rules)
    own = logged_in(client, "tester")
    yield own
    await own.aclose()
    await client.execute_command("ACL", "DELUSER", "tester")


async def lacking(client: Redis, role: str, types: Sequence[str], *rules: str) -> str:
    """Return the sentence by which the check refuses a user with these rules; '' if it does not."""
    async with user(client, *rules) as own:
        return await acl.missing_rights(own, role, types)


def test_plain_commands_of_the_store_are_rights_of_the_brokers_processes() -> None:
    """Each command that a module of the store names is in the rights of api and notifier."""
    folder = Path(rq_broker.store.__file__).parent
    called = {
        command
        for path in folder.glob("*.py")
        for command in re.findall(r"command\(\s*\"([A-Z]+)\"", path.read_text())
    }
    assert called
    for role in ("api", "notifier"):
        assert called <= set(acl.ROLES[role].commands())


def test_every_command_of_a_script_is_named_where_the_extraction_finds_it() -> None:
    """No script hides a command behind a variable, and each has a probe."""
    for path in (Path(rq_broker.store.__file__).parent / "lua").rglob("*.lua"):
        if path.stem != "guard":  # which makes redis.call what it is
            text = path.read_text()
            calls = re.findall(r"redis\.p?call\b", text)
            assert len(calls) == len(re.findall(r"redis\.p?call\(\s*'[A-Z]+'", text)), path.stem
    for role in acl.ROLES.values():
        assert set(role.commands()) - acl.PROBES.keys() <= UNPROBED


async def test_every_probe_is_queued(real_client: Redis) -> None:
    """Redis queues each probe: one with too few arguments would be refused before its rights."""
    async with real_client.client() as own:
        connection = own.connection
        assert connection is not None
        await connection.send_command("MULTI")
        await connection.read_response()
        for command, arguments in acl.PROBES.items():
            words = arguments.replace("K", "rqb:{vm}:x").replace("C", "rqb:wake").split()
            await connection.send_command(*command.split("|"), *words)
            assert await connection.read_response() == "QUEUED", command
        await connection.disconnect()


@pytest.mark.parametrize("types", [(), ("vm", "a*b[c]? d")])
@pytest.mark.parametrize("role", list(acl.ROLES))
async def test_a_user_with_the_rights_of_its_role_passes(
    real_client: Redis, role: str, types: tuple[str, ...]
) -> None:
    """The printed rules are enough for the check, also for types whose names have glob letters."""
    assert await lacking(real_client, role, types, *acl.acl_rules(role, types)) == ""
    assert await key_names(real_client) == []


@pytest.mark.parametrize(
    ("role", "command"),
    [
        *(("notifier", each) for each in sorted(acl.PROBES.keys() & NOTIFIER.commands())),
        ("api", "CLIENT|TRACKING"),
    ],
)
async def test_each_missing_command_is_named(real_client: Redis, role: str, command: str) -> None:
    """Without one command the check names it and the way to mend it, and nothing is written."""
    rules = [each for each in acl.acl_rules(role) if each != f"+{command.lower()}"]
    text = await lacking(real_client, role, (), *rules)
    assert f"may not use the commands {command};" in text
    assert f"rq-broker acl --role {role} prints what it needs" in text
    assert await key_names(real_client) == []


async def test_without_multi_nothing_is_sent_that_would_be_carried_out(real_client: Redis) -> None:
    """A user that may not begin a transaction is refused, and no probe is executed."""
    text = await lacking(real_client, "api", (), *acl.acl_rules("api"), "-multi")
    assert "the commands MULTI" in text
    assert await key_names(real_client) == []


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        (["~rqb:{vm}", "~rqb:types*"], "the keys rqb:{vm} and rqb:{vm}:*"),
        (["~rqb:{vm}:*", "~rqb:types*"], "the keys rqb:{vm} and rqb:{vm}:*"),
        (["~rqb:{kube}*", "~rqb:types*"], "the keys rqb:{vm} and rqb:{vm}:*"),
        (["~rqb:{vm}*"], "the key rqb:types"),
    ],
)
async def test_keys_that_are_out_of_reach_are_named(
    real_client: Redis, keys: list[str], named: str
) -> None:
    """A pattern that misses keys of a served type is found, whichever it misses."""
    rules = [*acl.acl_rules("notifier"), "resetkeys", *keys]
    assert named in await lacking(real_client, "notifier", ["vm"], *rules)


@pytest.mark.parametrize("types", [(), ("vm",)])
async def test_each_key_that_is_out_of_reach_is_found(
    real_client: Redis, types: tuple[str, ...]
) -> None:
    """A user with a pattern for each key but one is refused, also where no type is named."""
    await real_client.sadd("rqb:types", "vm")
    rules = [*acl.acl_rules("notifier"), "resetkeys", "~rqb:types*", "~rqb:notifiers"]
    patterns = [f"~rqb:{{vm}}:{name}" for name in acl.ROLES["notifier"].used_keys()]
    every = [*rules, "~rqb:{vm}", "~rqb:{vm}:rights", *patterns]
    assert await lacking(real_client, "notifier", types, *every) == ""
    assert len(patterns) > 40
    for missing in patterns:
        some = [rule for rule in every if rule != missing]
        text = await lacking(real_client, "notifier", types, *some)
        assert "the keys rqb:{vm} and rqb:{vm}:*" in text, missing


async def test_a_user_of_no_type_that_there_is_is_told(
    real_client: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """It may be meant for a type to come, so that the process starts; one line says so."""
    await real_client.sadd("rqb:types", "kube")
    assert await lacking(real_client, "api", (), *acl.acl_rules("api", ["vm"])) == ""
    assert [text for text in caplog.messages if "the keys of no type that there is" in text]
    caplog.clear()
    assert await lacking(real_client, "api", (), *acl.acl_rules("api")) == ""
    assert caplog.messages == []


async def test_a_channel_that_is_out_of_reach_is_named(real_client: Redis) -> None:
    """Without the channel of the wake-ups a notifier would sleep."""
    rules = [*acl.acl_rules("notifier"), "resetchannels"]
    assert "the channel rqb:wake" in await lacking(real_client, "notifier", (), *rules)


async def test_a_process_of_all_types_may_be_confined_to_some(real_client: Redis) -> None:
    """Where no type is named, one out of reach is none of the user's; one half in reach is told."""
    rules = acl.acl_rules("api", ["vm"])
    await real_client.sadd("rqb:types", "vm", "kube")
    assert await lacking(real_client, "api", (), *rules, "+srandmember") == ""
    halves = [*rules, "+srandmember", "~rqb:{kube}"]
    assert "rqb:{kube}" in await lacking(real_client, "api", (), *halves)


async def test_a_store_in_memory_has_no_users() -> None:
    """The check passes on fakeredis."""
    async with in_memory() as client:
        assert await acl.missing_rights(client, "notifier") == ""


def test_only_the_api_touches_tokens() -> None:
    """Of users that are limited to types only that of the API may use the installation's keys."""
    for role in acl.ROLES:
        has = "~rqb:{/}:*" in acl.acl_rules(role, ["vm"])
        assert has == (role == "api"), role


async def test_the_reader_can_write_nothing(real_client: Redis) -> None:
    """Redis refuses a reader each kind of write."""
    async with user(real_client, *acl.acl_rules("reader")) as own:
        for call in ("SET x 1", "DEL x", "HSET x 1 1", "ZADD x 1 1", "SADD x 1", "PUBLISH x 1"):
            with pytest.raises(exceptions.NoPermissionError):
                await own.execute_command(*call.replace("x", "rqb:{vm}:x").split())
