"""Devices in the rows of simulated hosts: each is a column beside that of its resource.

The rules are those of packing/devices.py; the fullest device that holds an instance is taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rq_broker.domain.devices import whole_sizes

Columns = tuple[tuple[int, int], ...]
"""Of the devices of one resource: its column in a row, and its size."""
Layout = Mapping[int, Columns]
"""Column of a resource → its devices; of the hosts of one group."""


def count_on(row: Sequence[int], parts: Sequence[tuple[int, int]], layout: Layout) -> int:
    """Count how often an instance fits on a host with devices; 0 or less if it does not."""
    return min(_count(row, index, amount, layout.get(index)) for index, amount in parts)


def _count(row: Sequence[int], index: int, amount: int, devices: Columns | None) -> int:
    if devices is None:
        return row[index] // amount
    if amount <= max(size for _, size in devices):
        return sum([max(row[column], 0) // amount for column, _ in devices])
    return sum(
        sum(row[column] >= size for column, size in devices if size == whole) // (amount // whole)
        for whole in whole_sizes([size for _, size in devices], amount)
    )


def could_hold(parts: Sequence[tuple[int, int]], layout: Layout) -> bool:
    """Return whether devices of these sizes could hold an instance if nobody used them."""
    return all(
        index not in layout
        or amount <= max(size for _, size in layout[index])
        or any(
            sum(size == whole for _, size in layout[index]) * whole >= amount
            for whole in whole_sizes([size for _, size in layout[index]], amount)
        )
        for index, amount in parts
    )


def amounts_on(
    row: Sequence[int], amounts: Sequence[int], parts: Sequence[tuple[int, int]], layout: Layout
) -> tuple[int, ...]:
    """Return what one instance that fits takes, of devices as well."""
    taken = list(amounts)
    for index, amount in parts:
        if index in layout:
            columns = _fullest(row, layout[index], amount)
            for column in columns:
                taken[column] = amount // len(columns)
    return tuple(taken)


def _fullest(row: Sequence[int], devices: Columns, amount: int) -> list[int]:
    if amount <= max(size for _, size in devices):
        return [min((row[column], column) for column, _ in devices if row[column] >= amount)[1]]
    for whole in whole_sizes([size for _, size in devices], amount):
        free = [column for column, size in devices if size == whole <= row[column]]
        if len(free) >= amount // whole:
            return free[: amount // whole]
    raise AssertionError
