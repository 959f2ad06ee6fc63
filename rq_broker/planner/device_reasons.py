"""What an instance lacks on a host with devices, as a part of a sentence."""

from __future__ import annotations

from collections.abc import Mapping

from rq_broker.domain.devices import whole_sizes
from rq_broker.planner.packing.devices import NamedDevices
from rq_broker.planner.reasons import Shortfall


def describe_devices(
    devices: Mapping[str, NamedDevices], lack: Shortfall, best: str, where: str
) -> str:
    """Say what an instance needs of the devices of a host, no other having more, and what is there.

    Args:
        devices: those of the host.
        lack: what it lacks; `free` is the most that one instance could have.
        best: how the sentence begins what the host has, such as `the most free is`.
        where: which hosts the demand may use, '' for any.
    """
    sizes = {size for _, size in devices[lack.resource]}
    needed, host, largest = f"{lack.resource} {lack.needed}", lack.host, max(sizes)
    if lack.needed <= largest:
        text = f"{needed} of one device{where}; no single device has {lack.needed} free"
        return f"{text}; the largest has {lack.free} on {host}"
    whole = max(whole_sizes(sizes, lack.needed), default=0)
    if not whole:
        text = f"{needed} on one host{where}, but a device of {host} has {largest}"
        return f"{text}, and more than one device has is given in whole devices only"
    text = f"{needed}, which is {lack.needed // whole} whole devices, on one host{where}"
    return f"{text}; {best} {lack.free // whole} of them on {host}"
