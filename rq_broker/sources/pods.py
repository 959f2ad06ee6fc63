"""What a Kubernetes pod requests, by the scheduler's own rule; and quantities as whole numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

from kubernetes.utils.quantity import parse_quantity

Quantities = dict[str, Decimal]
"""Kubernetes' resource name → how much, in its own unit: cores, bytes, pieces."""

UNITS: Mapping[str, tuple[str, Decimal]] = {
    "cpu": ("MilliCPU", Decimal("0.001")),
    "memory": ("Memory", Decimal(2**20)),
    "ephemeral-storage": ("Disk", Decimal(2**30)),
    "pods": ("Pods", Decimal(1)),
}
"""Resource name → our word and how much of Kubernetes' unit one of ours is."""

POD_LEVEL = {"cpu", "memory"}
"""What `spec.resources` may set for a pod as a whole, hugepages-* besides."""


def quantities(requests: Mapping[str, Any] | None) -> Quantities:
    """Read a map of quantities such as `{"cpu": "250m", "memory": "1Gi"}`."""
    return {
        name: Decimal(parse_quantity(text))  # type: ignore[no-untyped-call] # by the client
        for name, text in (requests or {}).items()
    }


def amounts(parts: Iterable[Quantities], rounding: str) -> dict[str, int]:
    """Add up, then round to whole numbers of our units, ROUND_FLOOR or ROUND_CEILING."""
    result = {}
    for name, quantity in _total(parts).items():
        word, unit = UNITS.get(name, (name.replace("/", "."), Decimal(1)))
        result[word] = int((quantity / unit).to_integral_value(rounding))
    return result


def capacity(node: Mapping[str, Any]) -> dict[str, int]:
    """Say what a node lets pods have, rounded down; what it has none of is left out."""
    found = amounts([quantities(node["status"].get("allocatable"))], ROUND_FLOOR)
    return {resource: amount for resource, amount in found.items() if amount}


def used(requests: Iterable[Quantities]) -> dict[str, int]:
    """Say what pods have together, rounded up once."""
    return amounts(requests, ROUND_CEILING)


def share(request: Quantities) -> dict[str, int]:
    """Say what one pod surely has of `used`, rounded down."""
    return amounts([request], ROUND_FLOOR)


def requests_of(pod: Mapping[str, Any]) -> Quantities:
    """Work out what the scheduler reserves for a pod, itself counted as one of `pods`.

    Containers run together. Init containers run before them, one at a time, beside the sidecars
    (init containers that always restart) started so far; so the larger of the two counts. What the
    pod asks for as a whole replaces that sum. Overhead comes on top.
    """
    spec = pod["spec"]
    running = _total(_requests(one) for one in spec["containers"])
    sidecars: Quantities = {}
    starting: Quantities = {}
    for one in spec.get("initContainers") or ():
        if one.get("restartPolicy") == "Always":
            sidecars = _add(sidecars, _requests(one))
        else:
            starting = _larger(starting, _add(sidecars, _requests(one)))
    whole = quantities((spec.get("resources") or {}).get("requests"))
    result = _larger(_add(running, sidecars), starting) | {
        name: quantity
        for name, quantity in whole.items()
        if name in POD_LEVEL or name.startswith("hugepages-")
    }
    return _add(_add(result, quantities(spec.get("overhead"))), {"pods": Decimal(1)})


def _requests(container: Mapping[str, Any]) -> Quantities:
    return quantities((container.get("resources") or {}).get("requests"))


def _add(left: Quantities, right: Quantities) -> Quantities:
    return {name: left.get(name, Decimal()) + right.get(name, Decimal()) for name in left | right}


def _larger(left: Quantities, right: Quantities) -> Quantities:
    zero = Decimal()
    return {name: max(left.get(name, zero), right.get(name, zero)) for name in left | right}


def _total(parts: Iterable[Quantities]) -> Quantities:
    total: Quantities = {}
    for part in parts:
        total = _add(total, part)
    return total
