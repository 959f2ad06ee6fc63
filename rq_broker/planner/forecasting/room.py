"""What is free on the hosts of a simulated future.

Hosts with equal amounts free are interchangeable, so they are kept in levels: a demand is tried on
a few levels and not on a thousand hosts. Where a line is too long to simulate job by job, the alike
hosts of one group are merged into one large host, but for those with devices; that loses what does
not fit on any single host.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from rq_broker.planner.forecasting.device_room import Layout, amounts_on, count_on

REMEMBERED = 50_000
"""Answers of rows with devices that are remembered: some 15 MB. With fewer, the futures of a type
with a thousand hosts count the same devices again."""
Vector = tuple[int, ...]
"""An amount of each resource that some demand names, in one order."""
Placement = list[tuple[int, Vector]]
"""What is taken of which hosts."""


class Need(NamedTuple):
    """Alike instances of a demand."""

    parts: tuple[tuple[int, int], ...]
    """(index of the resource, amount > 0) of one instance."""
    amounts: Vector
    """The same as a vector."""
    instances: int
    """How many instances one job has."""
    groups: frozenset[int]
    """Groups of hosts on which an instance may be."""
    spread: bool
    """Whether each instance needs a host of its own."""
    more: int = 0
    """How many more instances an elastic job takes, where there is room."""


class _Level(NamedTuple):
    """Hosts of one group that have equal amounts free; the fullest sort first."""

    weight: float
    group: int
    row: Vector


class Room:
    """What is free on each host."""

    __slots__ = (
        "_anywhere",
        "_by_row",
        "_fitting",
        "_hosts",
        "_layouts",
        "_level_of",
        "_levels",
        "_sizes",
        "_weights",
    )

    def __init__(
        self,
        rows: Sequence[Vector],
        groups: Sequence[int],
        sizes: Sequence[int],
        weights: Sequence[float],
        *,
        anywhere: frozenset[int] = frozenset(),
        layouts: Mapping[int, Layout] | None = None,
    ) -> None:
        """Begin with these hosts.

        Args:
            rows: what is free on each host.
            groups: the group of each host.
            sizes: how many hosts each stands for.
            weights: of each resource: makes amounts comparable.
            anywhere: groups of hosts on which any number of instances of a spread job may be.
            layouts: group of hosts with devices → their columns.
        """
        self._anywhere = anywhere
        self._layouts = layouts or {}
        """Group of hosts with devices → which columns of a row these are."""
        self._sizes = sizes
        self._weights = weights
        self._by_row: dict[int, dict[Vector, _Level]] = {group: {} for group in groups}
        """Group → row → its level, once made; shared by all copies."""
        self._fitting: dict[tuple[int, Vector, tuple[tuple[int, int], ...]], int] = {}
        """Group with devices, row, parts of an instance → how often it fits; shared likewise. The
        same rows are asked again and again, and devices are counted one by one."""
        self._level_of: list[_Level] = []
        self._hosts: dict[_Level, dict[int, None]] = {}
        for host, (row, group) in enumerate(zip(rows, groups, strict=True)):
            level = self._level(group, row)
            self._level_of.append(level)
            self._hosts.setdefault(level, {})[host] = None
        self._levels = sorted(self._hosts)

    def copy(self) -> Room:
        """Return a room that changes on its own."""
        other = Room.__new__(Room)
        other._sizes, other._weights, other._by_row = self._sizes, self._weights, self._by_row
        other._anywhere, other._layouts = self._anywhere, self._layouts
        other._fitting = self._fitting
        other._level_of = list(self._level_of)
        other._hosts = {level: dict(hosts) for level, hosts in self._hosts.items()}
        other._levels = list(self._levels)
        return other

    def row(self, host: int) -> Vector:
        """Return what a host has free; below 0 where it shrank under its holds."""
        return self._level_of[host].row

    def rows(self) -> list[Vector]:
        """Return what each host has free."""
        return [level.row for level in self._level_of]

    def size(self, host: int) -> int:
        """Return how many hosts a host stands for."""
        return self._sizes[host]

    def group(self, host: int) -> int:
        """Return the group of a host."""
        return self._level_of[host].group

    def is_spread(self, need: Need, group: int) -> bool:
        """Return whether each instance needs a host of its own, on hosts of this group."""
        return need.spread and group not in self._anywhere

    def hosts_for(self, need: Need) -> Iterator[int]:
        """Yield the hosts on which an instance fits, the fullest first."""
        for level in self._levels:
            if level.group in need.groups and self.fitting(need, level.group, level.row) > 0:
                yield from self._hosts[level]

    def count(self, need: Need, limit: int) -> int:
        """Count the instances that fit, up to a limit."""
        total, groups = 0, need.groups
        for level in self._levels:
            if level.group in groups and (times := self.fitting(need, level.group, level.row)) > 0:
                hosts = self._hosts[level]
                if self.is_spread(need, level.group):
                    times = min(times, self._sizes[next(iter(hosts))])
                total += times * len(hosts)
                if total >= limit:
                    return limit
        return total

    def place(self, needs: Sequence[Need], jobs: int) -> tuple[int, Placement]:
        """Take what up to so many equal jobs need, fullest hosts first.

        Returns: for how many jobs there was room, and what they took.
        """
        for need in needs:
            jobs = min(jobs, self.count(need, jobs * need.instances) // need.instances)
            if not jobs:
                return 0, []
        placement: Placement = []
        for need in needs:
            if not self._fill(need, jobs * need.instances, placement):
                self.give(placement)
                return self.place(needs, jobs // 2) if jobs > 1 else (0, [])
        return jobs, placement

    def _fill(self, need: Need, count: int, placement: Placement) -> bool:
        groups = need.groups
        picks: list[tuple[int, int]] = []
        for level in self._levels:
            if level.group not in groups:
                continue
            most = self.fitting(need, level.group, level.row)
            if most <= 0:
                continue
            is_spread = self.is_spread(need, level.group)
            for host in self._hosts[level]:
                times = min(most, count, self._sizes[host]) if is_spread else min(most, count)
                picks.append((host, times))
                count -= times
                if not count:
                    break
            if not count:
                break
        taken = [
            (host, self.amounts(need, host, self._level_of[host].row, times))
            for host, times in picks
        ]
        for host, vector in taken:
            self.take(host, vector)
        placement += taken
        return not count

    def fitting(self, need: Need, group: int, row: Vector) -> int:
        """Count how often an instance fits in a row of a group; 0 or less if it does not."""
        layout = self._layouts.get(group)
        if not layout:
            return count_fitting(row, need.parts)
        key = group, row, need.parts
        times = self._fitting.get(key)
        if times is None:
            if len(self._fitting) >= REMEMBERED:
                self._fitting.clear()
            times = self._fitting[key] = count_on(row, need.parts, layout)
        return times

    def amounts(self, need: Need, host: int, row: Vector, times: int) -> Vector:
        """Return what so many instances that fit take of a host with this row."""
        layout = self._layouts.get(self.group(host))
        if not layout:
            return need.amounts if times == 1 else tuple([n * times for n in need.amounts])
        taken, left = (0,) * len(row), row
        for _ in range(times):
            one = amounts_on(left, need.amounts, need.parts, layout)
            taken = add(taken, one)
            left = tuple([free - amount for free, amount in zip(left, one, strict=True)])
        return taken

    def take(self, host: int, amounts: Vector) -> None:
        """Use up amounts on a host."""
        row = self._level_of[host].row
        self.set_row(
            host, tuple([free - amount for free, amount in zip(row, amounts, strict=True)])
        )

    def give(self, amounts_by_host: Iterable[tuple[int, Vector]]) -> None:
        """Release amounts on hosts."""
        for host, amounts in amounts_by_host:
            row = self._level_of[host].row
            self.set_row(
                host, tuple([free + amount for free, amount in zip(row, amounts, strict=True)])
            )

    def set_row(self, host: int, row: Vector) -> None:
        """Set what a host has free."""
        hosts = self._hosts
        old = self._level_of[host]
        level = self._by_row[old.group].get(row) or self._level(old.group, row)
        members = hosts[old]
        del members[host]
        if not members:
            del hosts[old]
            del self._levels[bisect_left(self._levels, old)]
        if level in hosts:
            hosts[level][host] = None
        else:
            hosts[level] = {host: None}
            insort(self._levels, level)
        self._level_of[host] = level

    def _level(self, group: int, row: Vector) -> _Level:
        weight = sum([free * weight for free, weight in zip(row, self._weights, strict=True)])
        level = self._by_row[group][row] = _Level(weight, group, row)
        return level


def count_fitting(row: Vector, parts: Sequence[tuple[int, int]]) -> int:
    """Count how often an instance fits in a row; 0 or less if it does not."""
    index, amount = parts[0]
    times = row[index] // amount
    for index, amount in parts[1:]:
        times = min(times, row[index] // amount)
    return times


def add(amounts: Vector, others: Vector) -> Vector:
    """Add vectors."""
    return tuple([amount + other for amount, other in zip(amounts, others, strict=True)])
