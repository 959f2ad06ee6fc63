"""The planner, pass by pass, on the same pods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from gpu_packing.trace import MILLI, Node, Pod
from rq_broker.domain.capacity import Host
from rq_broker.domain.devices import amounts_by_host, sums_of
from rq_broker.domain.holding_times import demand_key
from rq_broker.domain.jobs import Demand, Shape
from rq_broker.domain.planning import Grant, Head, Snapshot, WaitingShape
from rq_broker.domain.policy import Policy
from rq_broker.planner import plan

BATCH = 64
"""Pods that arrive before each pass. With more, passes are fewer and know more of what waits."""


def hosts_of(nodes: Sequence[Node]) -> dict[str, Host]:
    """Return nodes as hosts with devices, each in an aggregate of its model."""
    return {
        node.name: Host(
            node.name,
            {"CPU": node.cpu, "memory": node.memory, "GPU": node.gpus * MILLI},
            aggregates=frozenset({node.model}),
            devices={"GPU": (MILLI,) * node.gpus},
        )
        for node in nodes
    }


class Planned:
    """The hosts while jobs arrive; one that does not fit waits no longer."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.hosts = hosts_of(nodes)
        self._running: dict[str, tuple[Demand, int]] = {}
        self._arrived = 0

    def place(self, pods: Sequence[Pod]) -> int:
        """Run a pass over pods that have arrived; returns the milli-GPUs that it grants."""
        shapes: dict[Demand, list[Head]] = {}
        for pod in pods:
            self._arrived += 1
            demand = Demand((pod.instance,), any_aggregate=pod.models)
            head = Head(self._arrived, str(self._arrived), self._arrived)
            shapes.setdefault(demand, []).append(head)
        waiting = tuple(
            WaitingShape(str(number), Shape(demand, "", ""), tuple(heads), len(heads))
            for number, (demand, heads) in enumerate(shapes.items())
        )
        snapshot = Snapshot(
            self.hosts, waiting, Policy(patience=None), 0.0, running=dict(self._running)
        )
        return sum(self._start(grant) for grant in plan(snapshot).grants)

    def _start(self, grant: Grant) -> int:
        demand = grant.shape.demand
        key = demand_key(demand)
        self._running[key] = demand, self._running.get(key, (demand, 0))[1] + 1
        held = amounts_by_host(grant.hosts, demand.instances, grant.devices)
        for name, amounts in held.items():
            self._hold(name, amounts)
        return sum(amount for instance in demand.instances for r, amount in instance if r == "GPU")

    def _hold(self, name: str, amounts: Mapping[str, int]) -> None:
        host = self.hosts[name]
        of_devices = {device: n for device, n in amounts.items() if "/" in device}
        others = {resource: n for resource, n in amounts.items() if "/" not in resource}
        assert sums_of(of_devices).get("GPU", 0) == others.get("GPU", 0)
        held, device_held = dict(host.held), dict(host.device_held)
        for sums, more in ((held, others), (device_held, of_devices)):
            for resource, amount in more.items():
                sums[resource] = sums.get(resource, 0) + amount
        host = replace(host, held=held, device_held=device_held)
        assert all(device.free >= 0 for device in host.devices_of("GPU"))
        self.hosts[name] = host
