"""What a Kubernetes pod requests, by the scheduler's own rule; and quantities as whole numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

from kubernetes.utils.quantity import parse_quantity

Quantities = dict[str, Decimal]
"""Kubernetes' resource name → how much, in Kubernetes' own unit: cores, bytes, pieces."""

UNITS: Mapping[str, tuple[str, Decimal]] = {
    "cpu": ("MilliCPU", Decimal("0.001")),
    "memory": ("Memory", Decimal(2**20)),
    "ephemeral-storage": ("Disk", Decimal(2**30)),
    "pods": ("Pods", Decimal(1)),
}
"""Kubernetes' resource name → the broker's, and the size of the broker's unit in Kubernetes'."""

POD_LEVEL = {"cpu", "memory"}
"""The resources that `spec.resources` may set for a pod as a whole; hugepages-* too."""

_ZERO = Decimal()


def quantities(requests: Mapping[str, Any] | None) -> Quantities:
    """Read a map of quantities such as `{"cpu": "250m", "memory": "1Gi"}`."""
    return {
        name: Decimal(parse_quantity(text))  # type: ignore[no-untyped-call] # by the client
        for name, text in (requests or {}).items()
    }


def amounts(parts: Iterable[Quantities], rounding: str) -> dict[str, int]:
    """Return the sum under the broker's names, in whole units.

    Args:
        parts: What to add up.
        rounding: ROUND_FLOOR or ROUND_CEILING of `decimal`, applied once to the sum.
    """
    total: dict[str, int] = {}
    for name, quantity in _sum(parts).items():
        resource, unit = UNITS.get(name, (name.replace("/", "."), Decimal(1)))
        total[resource] = int((quantity / unit).to_integral_value(rounding))
    return total


def capacity(node: Mapping[str, Any]) -> dict[str, int]:
    """Return what a node can give to pods, rounded down, without the resources it has none of."""
    allocatable = amounts([quantities(node["status"].get("allocatable"))], ROUND_FLOOR)
    return {resource: amount for resource, amount in allocatable.items() if amount}


def used(requests: Iterable[Quantities]) -> dict[str, int]:
    """Return what pods request together, rounded up."""
    return amounts(requests, ROUND_CEILING)


def share(request: Quantities) -> dict[str, int]:
    """Return the part of a node's `used` that is one pod's, rounded down."""
    return amounts([request], ROUND_FLOOR)


def requests_of(pod: Mapping[str, Any]) -> Quantities:
    """Return what the scheduler reserves for a pod, which counts as one of `pods` itself.

    Containers run at the same time. Init containers run before them, one after the other, beside
    the sidecars (init containers that always restart) started so far. The pod needs the larger of
    the two sums. What `spec.resources` requests for the pod as a whole replaces that; the overhead
    of its runtime class is added to it.

    Source: the Kubernetes documentation, "Sidecar Containers", section on resource sharing.
    """
    spec = pod["spec"]
    containers = _sum(_requests(container) for container in spec["containers"])
    sidecars: Quantities = {}
    largest_init: Quantities = {}
    for container in spec.get("initContainers") or ():
        if container.get("restartPolicy") == "Always":
            sidecars = _add(sidecars, _requests(container))
        else:
            largest_init = _larger(largest_init, _add(sidecars, _requests(container)))
    effective = _larger(_add(containers, sidecars), largest_init)
    pod_level = {
        name: quantity
        for name, quantity in _requests(spec).items()
        if name in POD_LEVEL or name.startswith("hugepages-")
    }
    overhead = quantities(spec.get("overhead"))
    return _sum([effective | pod_level, overhead, {"pods": Decimal(1)}])


def _requests(spec: Mapping[str, Any]) -> Quantities:
    """Read `resources.requests` of a container, or of a pod's spec."""
    return quantities((spec.get("resources") or {}).get("requests"))


def _add(left: Quantities, right: Quantities) -> Quantities:
    return {name: left.get(name, _ZERO) + right.get(name, _ZERO) for name in left | right}


def _larger(left: Quantities, right: Quantities) -> Quantities:
    return {name: max(left.get(name, _ZERO), right.get(name, _ZERO)) for name in left | right}


def _sum(parts: Iterable[Quantities]) -> Quantities:
    total: Quantities = {}
    for part in parts:
        total = _add(total, part)
    return total
