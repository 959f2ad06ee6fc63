"""The English sentences of what a demand lacks: now (`no_fit`), or on empty hosts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rq_broker.domain.reasons.codes import ReasonKind
from rq_broker.domain.reasons.lists import (
    amounts,
    of_both,
    of_hosts,
    of_instance,
)
from rq_broker.domain.similar import asked

if TYPE_CHECKING:
    from rq_broker.domain.reasons.reason import Reason


def no_fit(reason: Reason) -> str:
    """Say what is missing on the host that comes closest, or how many instances would fit."""
    return f"needs {_LACKS[_kind(reason)](reason, 'the most free is', of_both(reason.where))}"


def impossible(reason: Reason) -> str:
    """Say what no host has of it, as if nobody used them."""
    if _kind(reason) in (ReasonKind.INSTANCES, ReasonKind.MIX):
        needed = _LACKS[_kind(reason)](reason, "", of_instance(reason.where))
        return f"the hosts{of_hosts(reason.where)} could never hold this: needs {needed}"
    lacks = _LACKS[_kind(reason)](reason, "the largest is", "")
    text = f"no host{of_both(reason.where)} could ever hold this: needs {lacks}"
    return text + _hint_of_anywhere(reason)


def no_host(reason: Reason) -> str:
    """Say that no host of the type is as the demand wants it."""
    where = of_both(reason.where)
    # An aggregate's name may be unknown, while its source cannot read names.
    text = f"there is no known host{where}" if where else "there is no host"
    return text + asked(reason.similar)


def no_resource(reason: Reason) -> str:
    """Say which resource of an instance no host has."""
    where = of_both(reason.where)
    text = (
        f"no host{where} could ever hold this: needs {reason.resource} {reason.needed}, but no "
        f"host{where} has {reason.resource}{asked(reason.similar)}"
    )
    return text + _hint_of_anywhere(reason)


def _hint_of_anywhere(reason: Reason) -> str:
    if reason.anywhere is None:
        return ""
    resource, name = reason.anywhere.resource, reason.anywhere.host
    return f"; {resource} is anywhere ({name}): ask for it in its own instance"


def _kind(reason: Reason) -> ReasonKind:
    assert reason.kind is not None  # codes of capacity have one
    return reason.kind


def _most_free(reason: Reason, best: str, where: str) -> str:
    needed = f"{reason.resource} {reason.needed} on one host{where}"
    return f"{needed}; {best} {reason.free} on {reason.host}"


def _closest(reason: Reason, best: str, where: str) -> str:
    del best
    needed = amounts((lack.resource, lack.needed) for lack in reason.lacks)
    free = amounts((lack.resource, lack.free) for lack in reason.lacks)
    return f"{needed} on one host{where}; the closest is {reason.host} with {free}"


def _anywhere(reason: Reason, best: str, where: str) -> str:
    del best, where
    needed = amounts((lack.resource, lack.needed) for lack in reason.lacks)
    free = amounts((lack.resource, lack.free) for lack in reason.lacks)
    return f"{needed} of {reason.host}, which is anywhere in the type; it has {free}"


def _one_device(reason: Reason, best: str, where: str) -> str:
    del best
    text = f"{reason.resource} {reason.needed} of one device{where}"
    text += f"; no single device has {reason.needed} free"
    return f"{text}; the largest has {reason.free} on {reason.host}"


def _part_of_devices(reason: Reason, best: str, where: str) -> str:
    del best
    needed = f"{reason.resource} {reason.needed} on one host{where}"
    text = f"{needed}, but a device of {reason.host} has {reason.largest}"
    return f"{text}, and more than one device has is given in whole devices only"


def _whole_devices(reason: Reason, best: str, where: str) -> str:
    needed = f"{reason.resource} {reason.needed}"
    text = f"{needed}, which is {reason.devices_needed} whole devices, on one host{where}"
    return f"{text}; {best} {reason.devices_free} of them on {reason.host}"


def _instances(reason: Reason, best: str, where: str) -> str:
    del best
    return f"{_needed_at_once(reason)}{_spread(reason)} at once{where}; {reason.fits} would fit"


def _mix(reason: Reason, best: str, where: str) -> str:
    del best
    rest = f"{reason.others} other{'s' * (reason.others > 1)}"
    needed = f"{_needed_at_once(reason)} and {rest}{_spread(reason)}"
    return f"{needed} at once{where}; not all would fit"


def _needed_at_once(reason: Reason) -> str:
    needed, count = amounts(reason.instance) or "nothing", reason.count
    return f"{'at least ' * reason.at_least}{count} instance{'s' * (count > 1)} of {needed}"


def _spread(reason: Reason) -> str:
    return ", each on a host of its own," if reason.spread else ""


_LACKS: dict[ReasonKind, Callable[[Reason, str, str], str]] = {
    ReasonKind.MOST_FREE: _most_free,
    ReasonKind.CLOSEST: _closest,
    ReasonKind.ANYWHERE: _anywhere,
    ReasonKind.ONE_DEVICE: _one_device,
    ReasonKind.PART_OF_DEVICES: _part_of_devices,
    ReasonKind.WHOLE_DEVICES: _whole_devices,
    ReasonKind.INSTANCES: _instances,
    ReasonKind.MIX: _mix,
}
"""What is needed and what there is, by kind."""
