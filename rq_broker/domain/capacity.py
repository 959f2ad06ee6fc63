"""Capacity: hosts, amounts of resources, and the sources that report hosts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, NamedTuple

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from rq_broker.domain.decoding import check, convert
from rq_broker.domain.devices import DeviceAmounts, device_name, is_device, resource_of
from rq_broker.domain.errors import Invalid
from rq_broker.domain.merge_patch import merge_patch
from rq_broker.domain.validation import NAME, Count, Label, Name, Text

MOST_RESOURCES = 10_000
"""Resources of one host at most; real ones have tens. One script writes them all, and Redis serves
nobody else meanwhile: about 10 ms for this number."""
COUNT = "count"
"""The word by which a demand says how many instances it means; no demand can name a resource so."""
RESOURCE_NAME = Text(64, "/", noun="the resource name")
ResourceName = Annotated[str, RESOURCE_NAME.meta()]
Amounts = Mapping[ResourceName, Count]
"""Resource name → whole number ≥ 0."""
HostAmounts = Annotated[Amounts, Meta(max_length=MOST_RESOURCES)]


class Device(NamedTuple):
    """One device of a host: its size, and what of it is used and held."""

    size: int
    used: int
    held: int

    @property
    def free(self) -> int:
        """Size − used − held; negative if it shrank below its holds."""
        return self.size - self.used - self.held

    @property
    def in_transit(self) -> int:
        """What is counted both as used and as held, see Host.in_transit."""
        return max(min(-self.free, self.used, self.held), 0)


@dataclass(frozen=True, slots=True)
class Host:
    """One place with capacity. Its annotations are the rule that `checked` applies."""

    name: Name
    capacity: HostAmounts
    used: HostAmounts = field(default_factory=dict)
    """In use as its source sees it."""
    held: Amounts = field(default_factory=dict)
    """Held by grants of the broker."""
    aggregates: frozenset[Label] = frozenset()
    dropped: bool = False
    """Whether it is out of service: it is kept until its last hold is released."""
    max_unit: HostAmounts = field(default_factory=dict)
    """The most one instance may have of a resource; all that is free, where not listed."""
    min_unit: Amounts = field(default_factory=dict)
    """The least one instance may have of a resource it asks for; 1 where not listed."""
    step_size: Amounts = field(default_factory=dict)
    """What an instance's amount of a resource must be a multiple of; 1 where not listed."""
    source: str = ""
    """The source that reports it; '' for a host that was published over HTTP."""
    publisher: str = ""
    """The identity that published it and may replace its own hosts only; '' for anybody else."""
    traits: frozenset[Label] = frozenset()
    """What it is like beside its amounts, for demands that require or forbid it."""
    anywhere: bool = False
    """Whether it is no place but one capacity for the whole type, such as licences: needed beside
    hosts of any aggregate and traits, by any number of instances of a spread job."""
    devices: Mapping[ResourceName, DeviceAmounts] = field(default_factory=dict)
    """The size of each device, of the resources that it has in devices; `capacity` has the sums."""
    device_used: Mapping[ResourceName, DeviceAmounts] = field(default_factory=dict)
    """What of `used` is in use of each device, as far as its source tells."""
    device_held: Mapping[str, Count] = field(default_factory=dict)
    """Device → what of `held` is held of it."""

    @property
    def free(self) -> dict[str, int]:
        """Capacity − used − held per resource; negative if the host shrank below its holds."""
        free = {
            resource: amount - self.used.get(resource, 0) - self.held.get(resource, 0)
            for resource, amount in self.capacity.items()
        }
        if self.devices:
            free |= {
                resource: sum(device.free for device in self.all_devices_of(resource))
                for resource in self.devices
            }
        return free

    def devices_of(self, resource: str) -> list[Device]:
        """Return the devices of one resource, in the order of their numbers.

        Where its source tells only a sum of what is used, each device may be the one that is: it
        counts against all of them. So does what is held since it had other devices, or none.
        """
        return self._devices_with(resource, self._held_elsewhere(resource))

    def all_devices_of(self, resource: str) -> list[Device]:
        """Return the same with each hold where it is: what is gone and still held has size 0."""
        held = {
            int(name.partition("/")[2]): amount
            for name, amount in self.device_held.items()
            if resource_of(name) == resource and amount
        }
        count = len(self.devices[resource])
        of_no_device = max(0, self.held.get(resource, 0) - sum(held.values()))
        gone = range(count, max(held, default=-1) + 1)
        return self._devices_with(resource, of_no_device) + [
            Device(0, 0, held.get(number, 0)) for number in gone
        ]

    def _devices_with(self, resource: str, stray: int) -> list[Device]:
        sizes, used = self.devices[resource], self.device_used.get(resource)
        if used is None:
            used = [min(self.used.get(resource, 0), size) for size in sizes]
        return [
            Device(size, used[n], self.device_held.get(device_name(resource, n), 0) + stray)
            for n, size in enumerate(sizes)
        ]

    def _held_elsewhere(self, resource: str) -> int:
        held = self.held.get(resource, 0)
        count = len(self.devices[resource])
        of_devices = sum(self.device_held.get(device_name(resource, n), 0) for n in range(count))
        return max(0, held - of_devices)

    def used_of(self, name: str) -> int:
        """Return what is used of a resource, or of a device."""
        return self._devices_by_name[name].used if is_device(name) else self.used.get(name, 0)

    def held_of(self, name: str) -> int:
        """Return what is held of a resource, or of a device."""
        return self.device_held.get(name, 0) if is_device(name) else self.held.get(name, 0)

    @property
    def _devices_by_name(self) -> dict[str, Device]:
        return {
            device_name(resource, number): device
            for resource in self.devices
            for number, device in enumerate(self.devices_of(resource))
        }

    @property
    def device_free(self) -> dict[str, int]:
        """What is free of each device, by its name; negative as `free` is."""
        return {name: device.free for name, device in self._devices_by_name.items()}

    @property
    def in_transit(self) -> dict[str, int]:
        """What of a resource is counted both as used and as held, as far as the sums show it.

        From its boot until its client names it, a job's server is in `used` while its capacity is
        still in `held`. What both count beyond the capacity is counted twice, or is promised and
        taken by others: which of the two, only the names of the servers can tell.
        """
        overlap = {
            resource: min(-free, self.used.get(resource, 0), self.held.get(resource, 0))
            for resource, free in self.free.items()
        }
        for resource in self.devices:
            overlap[resource] = sum(device.in_transit for device in self.all_devices_of(resource))
        return {resource: amount for resource, amount in overlap.items() if amount > 0}

    @property
    def unpromised(self) -> dict[str, int]:
        """Free, without counting twice what is in transit: what the host can still be granted.

        What is used or held of a resource that the host does not have any more is less than none.
        """
        in_transit = self.in_transit
        taken = {**self.used, **self.held}.keys() - self.capacity.keys()
        gone = {name: -self.used.get(name, 0) - self.held.get(name, 0) for name in sorted(taken)}
        return {
            resource: free + in_transit.get(resource, 0) for resource, free in self.free.items()
        } | {resource: free for resource, free in gone.items() if free}


AmountsOrDevices = Annotated[
    Mapping[ResourceName, Count | DeviceAmounts], Meta(max_length=MOST_RESOURCES)
]
_Ignored = Annotated[Any, Meta(description="Ignored: the broker computes it.")]


class _Computed(Struct, forbid_unknown_fields=True, kw_only=True):
    """What a host has beside what is given: a host that was read can be given again as it is."""

    computed: ClassVar[Collection[str]]
    """Fields that no sentence offers, as they cannot be set: all of these."""

    name: _Ignored = None
    devices: _Ignored = None
    held: _Ignored = None
    free: _Ignored = None
    in_transit: _Ignored = None
    dropped: _Ignored = None
    source: _Ignored = None


COMPUTED = _Computed.computed = _Computed.__struct_fields__
"""The fields of a host that the broker computes."""


class NewHost(_Computed, forbid_unknown_fields=True, kw_only=True):
    """The fields of a host as HTTP or a file gives them; the name comes apart."""

    capacity: Annotated[
        AmountsOrDevices,
        Meta(
            description="Resource → amount; a list has the size of each of its devices.",
            extra_json_schema={"not": {"required": [COUNT]}},
        ),
    ]
    used: Annotated[
        AmountsOrDevices | None,
        Meta(
            description="In use as its source sees it; of devices a list with what of each, or a "
            "number, which counts against each."
        ),
    ] = None
    aggregates: list[Label] | None = None
    max_unit: Annotated[
        HostAmounts | None,
        Meta(description="The most one instance may have; all that is free, where not listed."),
    ] = None
    min_unit: Annotated[
        Amounts | None, Meta(description="The least one instance may have; 1 where not listed.")
    ] = None
    step_size: Annotated[
        Amounts | None,
        Meta(description="What an instance's amount is a multiple of; 1 where not listed."),
    ] = None
    traits: Annotated[
        list[Label] | None,
        Meta(description="What it is like, for demands that require or forbid it."),
    ] = None
    anywhere: Annotated[
        bool | None,
        Meta(
            description="It is no place but one capacity for the whole type, such as licences: "
            "`host_aggregate`, `any_aggregate`, `require`, `forbid` and `spread` of `data` do "
            "not bind it."
        ),
    ] = None


def new_host(name: str, fields: Any, place: str = "the body") -> Host:
    """Return the host that parsed JSON or TOML describes. Raises Invalid."""
    new = convert(fields, NewHost, place)
    if COUNT in new.capacity:
        raise Invalid(
            f"capacity.{COUNT}: no resource can be called so, as demands say with this word how "
            "many instances they mean; give the resource another name"
        )
    aggregates = frozenset(new.aggregates or ())
    return checked(
        Host(
            name,
            _sums(new.capacity),
            _sums(new.used or {}),
            aggregates=aggregates,
            max_unit=new.max_unit or {},
            min_unit=new.min_unit or {},
            step_size=new.step_size or {},
            traits=frozenset(new.traits or ()),
            anywhere=bool(new.anywhere),
            devices=_lists(new.capacity),
            device_used=_lists(new.used or {}),
        )
    )


_PatchedAmounts = Annotated[
    Mapping[ResourceName, Count | DeviceAmounts | None], Meta(max_length=MOST_RESOURCES)
]


class HostPatch(_Computed, forbid_unknown_fields=True, kw_only=True):
    """What a JSON Merge Patch names of a host; null removes it."""

    capacity: (
        Annotated[_PatchedAmounts, Meta(extra_json_schema={"not": {"required": [COUNT]}})]
        | UnsetType
    ) = UNSET
    used: _PatchedAmounts | UnsetType | None = UNSET
    aggregates: list[Label] | UnsetType | None = UNSET
    max_unit: Mapping[ResourceName, Count | None] | UnsetType | None = UNSET
    min_unit: Mapping[ResourceName, Count | None] | UnsetType | None = UNSET
    step_size: Mapping[ResourceName, Count | None] | UnsetType | None = UNSET
    traits: list[Label] | UnsetType | None = UNSET
    anywhere: bool | UnsetType | None = UNSET


def patched_host(host: Host, patch: Mapping[str, Any]) -> Host:
    """Return a host as a JSON Merge Patch leaves what its publisher gives of it.

    Raises:
        Invalid: The host would not be valid.
    """
    given = {
        "capacity": {**host.capacity, **host.devices},
        "used": {**host.used, **host.device_used},
        "aggregates": sorted(host.aggregates),
        "max_unit": host.max_unit,
        "min_unit": host.min_unit,
        "step_size": host.step_size,
        "traits": sorted(host.traits),
        "anywhere": host.anywhere,
    }
    return new_host(host.name, msgspec.to_builtins(merge_patch(given, patch)))


def _sums(given: Mapping[str, int | Sequence[int]]) -> dict[str, int]:
    return {
        resource: amount if isinstance(amount, int) else sum(amount)
        for resource, amount in given.items()
    }


def _lists(given: Mapping[str, int | Sequence[int]]) -> dict[str, tuple[int, ...]]:
    return {
        resource: tuple(amount) for resource, amount in given.items() if not isinstance(amount, int)
    }


def checked(host: Host) -> Host:
    """Return the host if the broker can name and count it.

    Every way in applies this rule: HTTP, the poller of sources, and Broker.set_host.

    Raises:
        Invalid: Some field is not valid; the sentence names it.
    """
    NAME.check(host.name, "the host's name")
    check(host, "the host")
    if host.devices or host.device_used:
        _check_devices(host)
    return host


def _check_devices(host: Host) -> None:
    """Raise Invalid where the devices, what is used of them, and the sums do not agree."""
    if sum(map(len, host.devices.values())) > MOST_RESOURCES:
        raise Invalid(f"capacity must have at most {MOST_RESOURCES} devices")
    for resource, used in host.device_used.items():
        count = len(host.devices.get(resource, ()))
        if not count:
            raise Invalid(f"used.{resource} must be a number: capacity has no list of devices")
        if len(used) != count:
            raise Invalid(f"used.{resource} must be a list of {count}, as capacity.{resource} is")
    for name, lists, sums in (
        ("capacity", host.devices, host.capacity),
        ("used", host.device_used, host.used),
    ):
        for resource, amounts in lists.items():
            if sums.get(resource) != sum(amounts):
                raise Invalid(f"{name}.{resource} must be the sum of its devices")


STALE_INTERVALS = 3
"""Poll intervals without a good snapshot after which a source is stale: one failed poll is not
enough, and operators learn of a source that stays away within minutes."""
BAD_HOSTS = "bad_hosts"
"""The cause of a source whose last snapshot was applied without some of its hosts."""
UNREAD = "unread"
"""The cause of a source that could not read a part of what it reports, such as names."""


@dataclass(frozen=True, slots=True)
class SourceState:
    """The state of a source that reports hosts of a type."""

    name: str
    age: float | None
    """Seconds since the start of its last good snapshot; None before the first."""
    stale: bool
    """Whether it had no good snapshot for three of its intervals."""
    hosts: int
    clashes: int = 0
    """Hosts it reports that are ignored, because others publish hosts of these names."""
    cause: str = ""
    """Why its last attempt failed, in a word, or BAD_HOSTS or UNREAD; '' if nothing was wrong."""
    text: str = ""
    """The failure as a sentence."""
    clashing: str = ""
    """The name of the first host that is ignored; '' for none."""
