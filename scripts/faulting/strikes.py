"""The faults: each strikes one topology under load, and ends before it returns."""

from __future__ import annotations

import asyncio
import resource
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from faulting.load import TYPE
from faulting.processes import NOTIFIERS, Processes
from faulting.proxy import Mode
from faulting.servers import Node, Topology, until
from faulting.topologies import ClusterOfSix, Single

HOUR = 3600.0
RESTART_SECONDS = 1.0
"""How long a killed server stays down, where nothing fails over to another."""
MIGRATED_AT_ONCE = 20
"""Keys moved by one MIGRATE: the slot stays open for some seconds under load."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What a fault may strike."""

    topology: Topology
    processes: Processes
    seconds: float
    """How long a fault lasts that has a length."""


Strike = Callable[[Scene], Awaitable[None]]


async def _call(node: Node, *command: object) -> Any:
    """Send one command in a thread, as proxies run on this loop."""
    return await asyncio.to_thread(node.call, *command)


async def kill(scene: Scene) -> None:
    """Kill -9 the primary; start it again."""
    primary = await asyncio.to_thread(scene.topology.primary)
    primary.kill()
    await asyncio.sleep(RESTART_SECONDS if isinstance(scene.topology, Single) else scene.seconds)
    primary.start()
    await asyncio.to_thread(primary.await_ready)


async def stop(scene: Scene) -> None:
    """SIGSTOP the primary for a while: it is silent, and its connections stay open."""
    primary = await asyncio.to_thread(scene.topology.primary)
    primary.send(signal.SIGSTOP)
    await asyncio.sleep(scene.seconds)
    primary.send(signal.SIGCONT)


async def move(scene: Scene) -> None:
    """Move the primary as planned; no connection is closed."""
    await asyncio.to_thread(scene.topology.move_primary)


def _proxied(mode: Mode) -> Strike:
    async def strike(scene: Scene) -> None:
        primary = await asyncio.to_thread(scene.topology.primary)
        address = _address(scene.topology, primary)
        address.proxy.set(mode)
        await asyncio.sleep(scene.seconds)
        address.proxy.set(Mode.PASS)

    return strike


def _address(topology: Topology, node: Node) -> Node:
    """Return the node whose proxy leads clients to this one: the first, where the address moves."""
    return topology.nodes[0] if isinstance(topology, Single) else node


async def disk_full(scene: Scene) -> None:
    """Let the primary's append-only file grow no more for a while."""
    primary = await asyncio.to_thread(scene.topology.primary)
    files = list(primary.directory.rglob("*.aof"))
    largest = max(file.stat().st_size for file in files)
    primary.limit_files(largest + 1)
    await asyncio.sleep(scene.seconds)
    primary.limit_files(resource.RLIM_INFINITY)
    await asyncio.sleep(2)  # Redis tries its file again each second


def _configured(broken: Mapping[str, str], mended: Mapping[str, str]) -> Strike:
    async def strike(scene: Scene) -> None:
        primary = await asyncio.to_thread(scene.topology.primary)
        for name, value in broken.items():
            await _call(primary, "CONFIG", "SET", name, value)
        await asyncio.sleep(scene.seconds)
        for name, value in mended.items():
            await _call(primary, "CONFIG", "SET", name, value)

    return strike


def _stepped(seconds: float) -> Strike:
    async def strike(scene: Scene) -> None:
        for node in scene.topology.nodes:
            node.step_clock(seconds)
        await asyncio.sleep(scene.seconds)

    return strike


async def flush(scene: Scene) -> None:
    """FLUSHALL on every primary."""
    for node in scene.topology.nodes:
        with suppress(redis.RedisError):
            await _call(node, "FLUSHALL")


async def older_state(scene: Scene) -> None:
    """Bring the type's keys back to what they were `seconds` before, as an old RDB file does."""
    primary = await asyncio.to_thread(scene.topology.primary)
    before = await asyncio.to_thread(_dump, primary)
    await asyncio.sleep(scene.seconds)
    await asyncio.to_thread(_restore, primary, before)


_KEYS = f"rqb:{{{TYPE}}}*"
_DUMP_ALL = """
local flat = {}
for _, name in ipairs(redis.call('KEYS', ARGV[1])) do
  flat[#flat + 1] = name
  flat[#flat + 1] = redis.call('DUMP', name)
end
return flat
"""
"""One script, since an RDB file is of one instant too."""
_DELETE_ALL = "for _, name in ipairs(redis.call('KEYS', ARGV[1])) do redis.call('DEL', name) end"


def _dump(node: Node) -> dict[bytes, bytes]:
    with redis.Redis(port=node.port) as client:
        flat = iter(client.eval(_DUMP_ALL, 0, _KEYS))
        return dict(zip(flat, flat, strict=True))


def _restore(node: Node, dumps: Mapping[bytes, bytes]) -> None:
    with redis.Redis(port=node.port) as client:
        pipeline = client.pipeline(transaction=True)
        pipeline.eval(_DELETE_ALL, 0, _KEYS)
        for name, dump in dumps.items():
            pipeline.execute_command("RESTORE", name, 0, dump, "REPLACE")
        pipeline.execute()


async def script_flush(scene: Scene) -> None:
    """SCRIPT FLUSH on every server."""
    for node in scene.topology.nodes:
        await _call(node, "SCRIPT", "FLUSH")


async def client_kill(scene: Scene) -> None:
    """Close every client's connection, ten times."""
    for _ in range(10):
        for node in scene.topology.nodes:
            await _call(node, "CLIENT", "KILL", "TYPE", "normal")
        await asyncio.sleep(scene.seconds / 10)


async def reshard(scene: Scene) -> None:
    """Move the busy type's slot to another primary, a few keys at a time."""
    topology = scene.topology
    assert isinstance(topology, ClusterOfSix)
    source = await asyncio.to_thread(topology.primary)
    await asyncio.to_thread(move_slot, topology, source)


def move_slot(topology: ClusterOfSix, source: Node) -> None:
    """Move the tested type's slot to another primary, as redis-cli does."""
    target = next(node for node in topology.primaries() if node is not source)
    names = [node.call("CLUSTER", "MYID") for node in (source, target)]
    target.call("CLUSTER", "SETSLOT", topology.slot, "IMPORTING", names[0])
    source.call("CLUSTER", "SETSLOT", topology.slot, "MIGRATING", names[1])
    while keys := source.call("CLUSTER", "GETKEYSINSLOT", topology.slot, MIGRATED_AT_ONCE):
        source.call("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
    for node in (target, source, *topology.primaries()):
        node.call("CLUSTER", "SETSLOT", topology.slot, "NODE", names[1])


def move_slot_at_once(topology: ClusterOfSix, source: Node) -> None:
    """Move the tested type's slot to another primary, as Valkey 9 does with all keys at once."""
    target = next(node for node in topology.primaries() if node is not source)
    name = target.call("CLUSTER", "MYID")
    source.call("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", topology.slot, topology.slot, "NODE", name)
    until(lambda: topology.primary() is target, "a slot that has moved")


async def open_slot(scene: Scene) -> None:
    """Open the busy type's slot for a while, and close it again: nothing is moved."""
    topology = scene.topology
    assert isinstance(topology, ClusterOfSix)
    source = await asyncio.to_thread(topology.primary)
    target = next(node for node in topology.primaries() if node is not source)
    name = await _call(target, "CLUSTER", "MYID")
    await _call(source, "CLUSTER", "SETSLOT", topology.slot, "MIGRATING", name)
    await asyncio.sleep(scene.seconds)
    await _call(source, "CLUSTER", "SETSLOT", topology.slot, "STABLE")


async def rights(scene: Scene) -> None:
    """Take the right to one class of commands away for a while."""
    primary = await asyncio.to_thread(scene.topology.primary)
    await _call(primary, "ACL", "SETUSER", "default", "-@sortedset")
    await asyncio.sleep(scene.seconds)
    await _call(primary, "ACL", "SETUSER", "default", "+@sortedset")


async def notifiers(scene: Scene) -> None:
    """Kill -9 one notifier after the other, and start it again."""
    pause = scene.seconds / (2 * NOTIFIERS)
    for number in [*range(1, NOTIFIERS + 1)] * 2:
        scene.processes.restart(number)
        await asyncio.sleep(pause)


async def api(scene: Scene) -> None:
    """Kill -9 the API, and start it again."""
    scene.processes.restart(0)
    await asyncio.sleep(scene.seconds)


async def upgrade(scene: Scene) -> None:
    """Bring the processes to this checkout one by one: a notifier, the API, the other notifiers. So
    both APIs meet notifiers of both, for a while each."""
    for number in (1, 0, *range(2, NOTIFIERS + 1)):
        await asyncio.to_thread(scene.processes.upgrade, number)
        await asyncio.sleep(scene.seconds)


async def descriptors(scene: Scene) -> None:
    """Leave the processes of the broker no free file descriptor for a while."""
    before = {process: limit_descriptors(process) for process in scene.processes.ids}
    await asyncio.sleep(scene.seconds)
    for process, limits in before.items():
        resource.prlimit(process, resource.RLIMIT_NOFILE, limits)


def limit_descriptors(process: int) -> tuple[int, int]:
    """Let a process open no more files than it has open; returns its limits before."""
    soft, hard = resource.prlimit(process, resource.RLIMIT_NOFILE)
    used = len(list(Path(f"/proc/{process}/fd").iterdir()))
    resource.prlimit(process, resource.RLIMIT_NOFILE, (used, hard))
    return soft, hard


STRIKES: Mapping[str, Strike] = {
    "kill": kill,
    "stop": stop,
    "move": move,
    "stall": _proxied(Mode.STALL),
    "delay": _proxied(Mode.DELAY),
    "cut": _proxied(Mode.CUT),
    "disk-full": disk_full,
    "oom": _configured({"maxmemory": "1"}, {"maxmemory": "0"}),
    "clock-forward": _stepped(HOUR),
    "clock-back": _stepped(-HOUR),
    "flushall": flush,
    "older-state": older_state,
    "script-flush": script_flush,
    "client-kill": client_kill,
    "reshard": reshard,
    "open-slot": open_slot,
    "rights": rights,
    "descriptors": descriptors,
    "notifiers": notifiers,
    "api": api,
    "upgrade": upgrade,
}
LOSES_STATE = {"flushall", "older-state", "kill", "stop", "stall", "move"}
"""Faults in which Redis itself may lose what it acknowledged: replication and the append-only file
lag. The broker has to tell that, and cannot prevent it."""
FAILS_OVER = {"cut", "disk-full"}
"""Those in which Sentinels fail over too, as their own PING fails: what the old primary took and
no replica has is lost."""
ONLY_CLUSTER = {"reshard", "open-slot"}
STEPS_CLOCK = {"clock-forward", "clock-back"}
