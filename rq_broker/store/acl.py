"""Which rights in Redis each role needs, and the check at a process's start that its user has them.

A script that lacks the right to one of its commands ends there, after its earlier writes. The check
queues each command after MULTI and then closes the connection: Redis refuses a command without the
right when it is queued, and carries out none. Unlike ACL DRYRUN, that needs no right to ACL, and
works on every supported version.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis import exceptions
from redis.asyncio import Redis, RedisCluster

from rq_broker.store.connection import NO_ANSWER
from rq_broker.store.keys import INSTALLATION, NOTIFIERS, TYPES, Keys
from rq_broker.store.prelude import commands, keys
from rq_broker.store.scripts import SCRIPTS

_log = logging.getLogger(__name__)

CHANNELS = ("rqb:wake",)
"""Channels on which scripts wake notifiers."""
GLOBAL_KEYS = (TYPES, f"{TYPES}:*", NOTIFIERS)
"""Patterns of the keys that belong to no type."""
_INSTALLATION_KEYS = (Keys(INSTALLATION).base, Keys(INSTALLATION).of("*"))
"""The same of those that say who is let in: only the API may read and write them."""
_ANY_TYPE = "rq-broker"
"""The type whose keys are checked where a process serves every type."""
_CHECKED_TYPES = 20
"""How many existing types are checked where a process serves every type. It bounds the check's time
with thousands of types, and finds a pattern that misses some keys of a type."""
_CONNECTION = (
    "PING",
    "SELECT",
    "INFO",
    "SRANDMEMBER",
    "CLUSTER|SLOTS",
    "CLUSTER|SHARDS",
    "COMMAND",
)
"""What redis-py and the checks at the start send; AUTH and HELLO need no right."""
_READS = ("HGET", "HGETALL", "HMGET", "SMEMBERS", "TIME", "XRANGE", "ZCARD", "ZRANGE", "ZRANK",
          "ZSCORE", "XREVRANGE")  # fmt: skip
"""Plain commands that read."""
_AUDIT = ("EXEC", "EXISTS", "GET", "HLEN", "HSCAN", "SCARD", "SSCAN", "TYPE",
          "XLEN", "ZSCAN")  # fmt: skip
"""Plain commands of the audit besides _READS."""
_WRITES = ("SADD", "SETRANGE")
"""Plain commands that register a type, and check that Redis takes writes."""
_FOLLOWING = ("CLIENT|TRACKING",)
"""What the API needs to be told when a stream of events changes; see multiplexer."""
_WAKING = ("HDEL", "HSET", "PUBLISH", "SREM", "SUBSCRIBE", "UNSUBSCRIBE")
"""Plain commands of notifiers: to wait for work, to know of each other, to forget a type."""
_READING_SCRIPTS = ("audit_callbacks", "audit_jobs", "audit_owner", "audit_shapes",
                    "changed_holds", "destinations", "figures", "heads", "holding", "line", "page",
                    "page_array", "read", "read_array", "report_state", "running_holds", "sources",
                    "type_state")  # fmt: skip
_READING_PROBES: Mapping[str, str] = {
    "CLIENT|TRACKING": "OFF",
    "EVAL": "x 1 K", "EVALSHA": "x 1 K", "EXISTS": "K", "GET": "K", "HEXISTS": "K x",
    "HGET": "K x", "HGETALL": "K", "HKEYS": "K", "HLEN": "K", "HMGET": "K x", "HRANDFIELD": "K",
    "HSCAN": "K 0", "HSTRLEN": "K x", "INFO": "memory", "PING": "", "PTTL": "K",
    "SCARD": "K", "SISMEMBER": "K x", "STRLEN": "K", "ZRANDMEMBER": "K",
    "SMEMBERS": "K", "SMISMEMBER": "K x", "SRANDMEMBER": "K 1", "SSCAN": "K 0",
    "SUBSCRIBE": "C", "TIME": "", "TYPE": "K", "UNSUBSCRIBE": "C", "WAIT": "0 1",
    "XLEN": "K", "XRANGE": "K - +", "XREVRANGE": "K + -", "ZCARD": "K",
    "ZCOUNT": "K 0 1", "ZMSCORE": "K x", "ZRANGE": "K 0 1", "ZRANGEBYSCORE": "K 0 1",
    "ZRANK": "K x", "ZREVRANGE": "K 0 1", "ZREVRANGEBYSCORE": "K 1 0", "ZSCAN": "K 0",
    "ZSCORE": "K x",
}  # fmt: skip
"""Command that writes nothing → arguments with which it is queued; K stands for a key, C for a
channel. Redis checks the number of arguments before the rights, so a row must have enough."""
_WRITING_PROBES: Mapping[str, str] = {
    "DEL": "K", "HDEL": "K x", "HINCRBY": "K x 1", "HSET": "K x x",
    "HSETNX": "K x x", "PEXPIRE": "K 1", "PUBLISH": "C x", "SADD": "K x", "SET": "K x",
    "SETRANGE": "K 0 x", "SREM": "K x", "XADD": "K * x x", "ZADD": "K 0 x", "ZREM": "K x",
    "ZREMRANGEBYRANK": "K 0 1", "ZREMRANGEBYSCORE": "K 0 1", "ZINCRBY": "K 1 x", "ZPOPMIN": "K",
    "EXPIRE": "K 1", "PERSIST": "K", "PEXPIREAT": "K 1", "UNLINK": "K", "INCR": "K",
    "INCRBY": "K 1", "RENAME": "K K", "XDEL": "K 0-1", "XTRIM": "K MAXLEN 1",
}  # fmt: skip
"""The same of commands that write."""
PROBES = {**_READING_PROBES, **_WRITING_PROBES}
"""The same of every command."""


@dataclass(frozen=True, slots=True)
class Role:
    """What one kind of process does."""

    scripts: Collection[str]
    plain: tuple[str, ...]
    """Commands that it sends besides scripts."""
    only_reads: bool = False

    def commands(self) -> list[str]:
        """List the commands that it needs, in capitals."""
        called = {
            command
            for name in self.scripts
            for command in commands(SCRIPTS[name].source)
            # A script that only reads may include a library with functions that write.
            if not self.only_reads or command in _READING_PROBES
        }
        return sorted({*called, *self.plain, *_CONNECTION, "EVAL", "EVALSHA", "MULTI"})

    def used_keys(self) -> list[str]:
        """List the keys of a type that it uses, without the base; of many of a kind one."""
        names = {name for script in self.scripts for name in keys(SCRIPTS[script].source)}
        return sorted(f"{name}rights" if name.endswith(":") else name for name in names)


ROLES: Mapping[str, Role] = {
    "api": Role(tuple(SCRIPTS), (*_READS, *_WRITES, *_FOLLOWING, "WAIT")),
    "notifier": Role(tuple(SCRIPTS), (*_READS, *_WRITES, *_WAKING)),
    "reader": Role(_READING_SCRIPTS, (*_READS, *_AUDIT), only_reads=True),
    "submitter": Role(
        (
            "submit",
            "submit_many",
            "read",
            "page",
            "set_expected",
            "reorder",
            "transition",
            "withdraw",
            "submit_array",
            "read_array",
            "page_array",
            "reorder_array",
            "withdraw_array",
        ),
        (*_READS, *_WRITES, "WAIT"),
    ),
    "granter": Role(
        (*_READING_SCRIPTS, "turn", "note", "grant", "sweep", "withdraw"),
        (*_READS, *_WRITES, *_WAKING),
    ),
}
"""Role → what it does. `api` and `notifier` are the broker's own processes; `reader` is the audit
or a dashboard, `submitter` a service that submits by the scripts, `granter` one that grants."""


def acl_rules(role: str, types: Collection[str] = ()) -> list[str]:
    """Return the rules of a role's user, as ACL SETUSER takes them; without a password.

    Args:
        role: One of ROLES.
        types: The types whose keys it may use; empty: those of every type.
    """
    if types:
        bases = [_glob(Keys(type_).base) for type_ in types]
        patterns = [pattern for base in bases for pattern in (base, f"{base}:*")]
        keys = [*patterns, *GLOBAL_KEYS, *(_INSTALLATION_KEYS if role == "api" else ())]
    else:
        keys = ["rqb:*"]
    return [
        "resetkeys",
        *(f"~{key}" for key in keys),
        "resetchannels",
        *(f"&{channel}" for channel in CHANNELS),
        "-@all",
        *(f"+{command.lower()}" for command in ROLES[role].commands()),
    ]


def _glob(key: str) -> str:
    """Return a pattern that this key matches; a pattern may hold no space."""
    return re.sub(r"\s", "?", re.sub(r"([][*?^\\])", r"\\\1", key))


async def missing_rights(
    client: Redis | RedisCluster, role: str, types: Collection[str] = ()
) -> str:
    """Say what Redis refuses its user that the role needs; '' if nothing. Changes nothing.

    Each node of a cluster has its own users, so each primary is asked.

    Args:
        client: A client of the process; one of fakeredis has no users.
        role: One of ROLES.
        types: The types that the process serves; empty: every type. Then a user that may use the
            keys of some types only is no reason to refuse.

    A server that does not answer is not checked: the others may serve meanwhile.
    """
    try:
        lacking = await _lacking_rights(client, ROLES[role], types)
    except NO_ANSWER:
        return ""
    if not lacking:
        return ""
    option = "".join(f" --type {type_}" for type_ in types)
    return (
        f"the user of --redis may not use {', '.join(lacking)}; "
        f"rq-broker acl --role {role}{option} prints what it needs"
    )


async def _lacking_rights(
    client: Redis | RedisCluster, role: Role, types: Collection[str]
) -> dict[str, None]:
    lacking: dict[str, None] = {}
    async for connection in _connections(client):
        checked = types or (_ANY_TYPE, *await _registered(connection))
        refusals = await _refusals(connection, list(_probes(role, checked)))
        lacking |= dict.fromkeys(_lacking(refusals, set(types)))
        _warn_of_no_type(refusals)
    return lacking


async def _connections(client: Redis | RedisCluster) -> AsyncIterator[Any]:
    """Yield a connection to each primary, and close it."""
    if isinstance(client, RedisCluster):
        await client.initialize()
        for node in client.get_primaries():
            connection = node.acquire_connection()
            try:
                await connection.connect()
                yield connection
            finally:
                await connection.disconnect()
                node.release(connection)
    elif type(client) is Redis:
        pool: Any = client.connection_pool
        connection = await pool.get_connection()
        try:
            yield connection
        finally:
            await connection.disconnect()
            await pool.release(connection)


async def _registered(connection: Any) -> list[str]:
    """List some types that there are; none where the user may not, or another node has them."""
    await connection.send_command("SRANDMEMBER", TYPES, _CHECKED_TYPES)
    try:
        return list(await connection.read_response())
    except exceptions.ResponseError:
        return []


@dataclass(frozen=True, slots=True)
class _Probe:
    """A command to queue."""

    call: tuple[str, ...]
    type: str | None = None
    """The type whose key it names; None if it names no key of a type."""
    key: str = ""

    @property
    def command(self) -> str:
        """Its name, as a rule of the ACL has it."""
        whole = "|".join(self.call[:2])
        return whole if whole in PROBES else self.call[0]


def _probes(role: Role, types: Iterable[str]) -> Iterator[_Probe]:
    """Yield each command, those with a key once for each type; and a command for each key."""
    commands = role.commands()
    with_key = [command for command in commands if "K" in PROBES.get(command, "").split()]
    for command in commands:
        if command in PROBES and command not in with_key:
            for channel in CHANNELS if "C" in PROBES[command].split() else ("",):
                yield _Probe(_call(command, channel=channel), key=channel)
    for type_ in types:
        base = Keys(type_).base
        yield from (_Probe(_call(command, f"{base}:rights"), type_, base) for command in with_key)
        for key in (base, *(f"{base}:{name}" for name in role.used_keys())):
            yield _Probe(_call(with_key[0], key), type_, base)
    for key in (TYPES, f"{TYPES}:fit", NOTIFIERS):
        yield _Probe(_call(with_key[0], key), key=key)


def _call(command: str, key: str = "", channel: str = "") -> tuple[str, ...]:
    places = {"K": key, "C": channel}
    return *command.split("|"), *(places.get(word, word) for word in PROBES[command].split())


async def _refusals(connection: Any, probes: Sequence[_Probe]) -> list[tuple[_Probe, str]]:
    """Queue commands; returns each with '', or with the words by which Redis refuses it."""
    multi = _Probe(("MULTI",))
    await connection.send_command(*multi.call, check_health=False)
    try:
        await connection.read_response()
    except exceptions.NoPermissionError as error:
        return [(multi, str(error))]  # outside a transaction the commands would be carried out
    await connection.send_packed_command(
        connection.pack_commands([probe.call for probe in probes]), check_health=False
    )
    return [(probe, await _refusal(connection)) for probe in probes]


async def _refusal(connection: Any) -> str:
    """Read the next reply; returns '' if it is no refusal of a right."""
    try:
        await connection.read_response()
    except exceptions.NoPermissionError as error:
        return str(error)
    except exceptions.ResponseError:
        pass  # refused for another reason, such as a key of another node
    return ""


def _warn_of_no_type(refusals: Iterable[tuple[_Probe, str]]) -> None:
    """Log if the user may use the keys of none of the checked types: it may serve others only."""
    answers = [text for probe, text in refusals if probe.type is not None]
    if answers and all("to run the" not in text and text for text in answers):
        _log.warning(
            "the user of --redis may use the keys of no type that there is; those of the types that"
            " it is to serve are %s", f"{Keys('TYPE').base} and {Keys('TYPE').base}:*",
        )  # fmt: skip


def _lacking(refusals: Iterable[tuple[_Probe, str]], served: Collection[str]) -> Iterator[str]:
    """Name what is missing.

    A user may have no right to the keys of a type at all, and then serves it not; but not to some
    of them only.
    """
    commands: dict[str, None] = {}
    keys_refused: defaultdict[str, set[bool]] = defaultdict(set)
    for probe, text in refusals:
        if "to run the" in text:
            commands[probe.command] = None
        elif probe.type is not None:
            keys_refused[probe.type].add(bool(text))
        elif text:
            yield f"the {'channel' if 'channel' in text else 'key'} {probe.key}"
    if commands:
        yield f"the commands {', '.join(commands)}"
    for type_, answers in keys_refused.items():
        if True in answers and (False in answers or type_ in served):
            base = Keys(type_).base
            yield f"the keys {base} and {base}:*"
