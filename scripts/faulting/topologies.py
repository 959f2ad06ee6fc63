"""The three ways to run Redis that the matrix tries."""

from __future__ import annotations

import asyncio
import subprocess
import time
from pathlib import Path
from typing import Any

import redis
from redis.crc import key_slot

from faulting.servers import (
    BUS_OFFSET,
    NODE_TIMEOUT_MS,
    SERVICE,
    VALKEY,
    Node,
    Topology,
    free_cluster_port,
    until,
)
from rq_broker.store.embedded import find_server, free_port

REPLICATION = ("--repl-diskless-sync-delay", "0", "--repl-timeout", "5")
"""Replicas join at once, and notice a silent primary soon."""
PRIMARIES = 3
SLOTS = 16384


class Single(Topology):
    """One server and a standby, behind one address that an operator moves from one to the other."""

    name = "single"

    def __init__(self, folder: Path, *, fake_clock: bool = False) -> None:
        super().__init__(folder, fake_clock=fake_clock)
        self._first = self.node(*REPLICATION)
        self._standby = self.node(*REPLICATION, "--replicaof", "127.0.0.1", str(self._first.port))
        self.url = self._first.url

    def _start(self) -> None:
        super()._start()
        until(self._is_followed, "a standby that follows")

    def _is_followed(self) -> bool:
        return "'state': 'online'" in str(self._first.call("INFO", "replication"))

    def move_primary(self) -> None:
        """Swap the roles; the address moves too, and no connection is closed."""
        old, new = self.primary(), self.replica()
        self._first.proxy.target = new.port
        new.call("REPLICAOF", "NO", "ONE")
        old.call("REPLICAOF", "127.0.0.1", new.port)


class SentinelTrio(Topology):
    """A primary, two replicas, and three Sentinels that fail over."""

    name = "sentinel"

    def __init__(self, folder: Path, *, fake_clock: bool = False) -> None:
        super().__init__(folder, fake_clock=fake_clock)
        first = self._announced()
        for _ in range(2):
            self._announced("--replicaof", "127.0.0.1", str(first.proxy_port))
        self._ports = [free_port() for _ in range(3)]
        self._sentinels: list[subprocess.Popen[bytes]] = []
        addresses = ",".join(f"127.0.0.1:{port}" for port in self._ports)
        self.url = f"redis+sentinel://{addresses}/{SERVICE}/0"

    def _announced(self, *options: str) -> Node:
        node = self.node(*REPLICATION, *options)
        node.options = (
            *node.options, "--replica-announce-ip", "127.0.0.1",
            "--replica-announce-port", str(node.proxy_port),
        )  # fmt: skip
        return node

    def _start(self) -> None:
        super()._start()
        for number, port in enumerate(self._ports):
            self._sentinels.append(self._start_sentinel(number, port))
        until(self._knows_all, "Sentinels that know each other and the replicas")

    def _start_sentinel(self, number: int, port: int) -> subprocess.Popen[bytes]:
        program = find_server()
        assert program
        directory = self.folder / f"sentinel{number}"
        directory.mkdir(exist_ok=True)
        file = directory / "sentinel.conf"
        file.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {directory}\n"
            f"sentinel monitor {SERVICE} 127.0.0.1 {self.nodes[0].proxy_port} 2\n"
            f"sentinel down-after-milliseconds {SERVICE} {NODE_TIMEOUT_MS}\n"
            f"sentinel failover-timeout {SERVICE} 10000\n"
        )
        with (directory / "log").open("ab") as log:
            return subprocess.Popen(
                [program, str(file), "--sentinel"],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _sentinel(self, *command: str) -> Any:
        with redis.Redis(port=self._ports[0], decode_responses=True) as sentinel:
            return sentinel.execute_command(f"SENTINEL {command[0]}", *command[1:])

    def _knows_all(self) -> bool:
        primary = self._sentinel("MASTER", SERVICE)
        return int(primary["num-slaves"]) >= 2 and int(primary["num-other-sentinels"]) >= 2

    def move_primary(self) -> None:
        """Have the Sentinels fail over to a replica, as for an upgrade."""
        until(lambda: self._sentinel("FAILOVER", SERVICE), "a failover that Sentinels accept")

    async def stop(self) -> None:
        """End the Sentinels, then the servers."""
        for process in self._sentinels:
            process.kill()
            process.wait()
        await super().stop()


class ClusterOfSix(Topology):
    """A Redis Cluster of three primaries, each with a replica."""

    name = "cluster"
    tag = "vm"
    """The type whose slot `primary` is about."""

    def __init__(self, folder: Path, *, fake_clock: bool = False) -> None:
        super().__init__(folder, fake_clock=fake_clock)
        for _ in range(2 * PRIMARIES):
            self._clustered()
        self.url = self.nodes[0].url.replace("redis://", "redis+cluster://").removesuffix("/0")

    def _clustered(self) -> Node:
        port = free_cluster_port()
        node = self.node(
            "--cluster-enabled", "yes", "--cluster-node-timeout", str(NODE_TIMEOUT_MS),
            "--cluster-announce-bus-port", str(port + BUS_OFFSET), *REPLICATION, port=port,
        )  # fmt: skip
        node.options = (*node.options, "--cluster-announce-port", str(node.proxy_port))
        return node

    async def join(self) -> Node:
        """Add an empty primary, which no client has heard of yet."""
        node = self._clustered()
        await node.proxy.start()
        node.start()
        await asyncio.to_thread(node.await_ready)
        await asyncio.to_thread(self._join)
        return node

    def _start(self) -> None:
        super()._start()
        self._join()
        share = SLOTS // PRIMARIES
        for number, node in enumerate(self.nodes[:PRIMARIES]):
            last = SLOTS - 1 if number == PRIMARIES - 1 else (number + 1) * share - 1
            node.call("CLUSTER", "ADDSLOTS", *range(number * share, last + 1))
        for number, node in enumerate(self.nodes[PRIMARIES:]):
            self._follow(node, self.nodes[number])
        until(lambda: all(map(self._is_whole, self.nodes)), "a whole cluster")

    def _join(self) -> None:
        """Let the nodes meet. On a busy machine a node gives a handshake up, and meets again."""
        first, others, meets_at = self.nodes[0], self.nodes[1:], 0.0

        def have_met() -> bool:
            nonlocal meets_at
            lonely = [node for node in others if not self._knows_others(node)]
            if lonely and time.monotonic() >= meets_at:
                meets_at = time.monotonic() + 2 * NODE_TIMEOUT_MS / 1000
                for node in lonely:
                    first.call("CLUSTER", "MEET", "127.0.0.1", node.port, node.port + BUS_OFFSET)
            return not lonely and self._knows_others(first)

        until(have_met, "all nodes known")

    def _knows_others(self, node: Node) -> bool:
        return f"cluster_known_nodes:{len(self.nodes)}" in self._info(node)

    def _follow(self, node: Node, primary: Node) -> None:
        name = primary.call("CLUSTER", "MYID")
        until(lambda: node.call("CLUSTER", "REPLICATE", name), "a replica")

    def _info(self, node: Node) -> str:
        return str(node.call("CLUSTER", "INFO"))

    def _is_whole(self, node: Node) -> bool:
        return "cluster_state:ok" in self._info(node) and "cluster_slots_ok:16384" in self._info(
            node
        )

    @property
    def slot(self) -> int:
        """The slot of the tested type."""
        return int(key_slot(self.tag.encode()))

    def primary(self) -> Node:
        """Return the primary of the tested type's slot."""
        for node in self.nodes:
            if self._role(node) == "master" and self._owns(node):
                return node
        raise StopIteration

    def replica(self) -> Node:
        """Return the replica of the tested type's primary."""
        port = self.primary().proxy_port
        for node in self.nodes:
            if self._role(node) == "slave" and int(node.call("ROLE")[2]) == port:
                return node
        raise StopIteration

    def _owns(self, node: Node) -> bool:
        name = node.call("CLUSTER", "MYID")
        for first, last, owner, *_ in node.call("CLUSTER", "SLOTS"):
            if first <= self.slot <= last:
                return bool(owner[2] == name)
        return False

    def primaries(self) -> list[Node]:
        """Return the servers that are primaries now."""
        return [node for node in self.nodes if self._role(node) == "master"]

    def move_primary(self) -> None:
        """Have the replica of the tested type's slot take over."""
        self.replica().call("CLUSTER", "FAILOVER")


class ValkeyClusterOfSix(ClusterOfSix):
    """The same of Valkey 9, which moves a slot with all its keys at one instant."""

    name = "valkey-cluster"
    program = VALKEY

    def _start(self) -> None:
        super()._start()
        # By default a slot moves once nothing is left to copy, which never comes under load.
        for node in self.nodes:
            node.call("CONFIG", "SET", "slot-migration-max-failover-repl-bytes", 1 << 20)


Way = type[Single] | type[SentinelTrio] | type[ClusterOfSix]
"""One way to run Redis."""
