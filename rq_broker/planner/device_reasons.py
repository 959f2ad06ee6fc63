"""What an instance lacks on a host with devices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from rq_broker.domain.devices import whole_sizes
from rq_broker.domain.reasons.codes import ReasonKind
from rq_broker.domain.reasons.reason import Reason
from rq_broker.planner.packing.devices import NamedDevices


def of_devices(most_free: Reason, devices: Mapping[str, NamedDevices]) -> Reason:
    """Say of which devices a host has too little; `devices` are those of the host.

    Args:
        most_free: What the instance lacks, no host having more; `free` is the most that one
            instance could have.
        devices: Those of the host.
    """
    sizes = {size for _, size in devices[most_free.resource]}
    largest, needed = max(sizes), most_free.needed
    if needed <= largest:
        return replace(most_free, kind=ReasonKind.ONE_DEVICE)
    whole = max(whole_sizes(sizes, needed), default=0)
    if not whole:
        return replace(most_free, kind=ReasonKind.PART_OF_DEVICES, largest=largest)
    return replace(
        most_free,
        kind=ReasonKind.WHOLE_DEVICES,
        devices_needed=needed // whole,
        devices_free=most_free.free // whole,
    )
