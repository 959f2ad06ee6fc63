"""Devices for the planner's brute force: every assignment tried, and hosts that have some."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations
from random import Random

from rq_broker.domain.capacity import Host


def fit_on_devices(sizes: tuple[int, ...], left: tuple[int, ...], amounts: tuple[int, ...]) -> bool:
    """Return whether amounts fit on devices: each on one, or on several whole ones of one size."""
    if not amounts:
        return True
    amount, others = amounts[0], amounts[1:]
    numbers = range(len(sizes))
    options: list[tuple[int, ...]] = [(n,) for n in numbers if left[n] >= amount]
    if amount > max(sizes):
        whole = [n for n in numbers if left[n] == sizes[n] > 0]
        options = [
            several
            for count in range(2, len(whole) + 1)
            for several in combinations(whole, count)
            if len({sizes[n] for n in several}) == 1 and sizes[several[0]] * count == amount
        ]
    return any(
        fit_on_devices(
            sizes,
            tuple(left[n] - (amount // len(option) if n in option else 0) for n in numbers),
            others,
        )
        for option in options
    )


def with_devices(rng: Random, place: Host) -> Host:
    """Give a host GPUs of a few sizes, with some of it used and held; of some it tells no more."""
    size = rng.choice((2, 3, 4))
    sizes = tuple(rng.choice((size, size, size, 2)) for _ in range(rng.randint(1, 4)))
    used = tuple(rng.randint(0, 1) for _ in sizes)
    device_held = {f"GPU/{n}": rng.randint(1, 2) for n in range(len(sizes)) if rng.random() < 0.4}
    told = rng.random() < 0.7
    return replace(
        place,
        capacity={**place.capacity, "GPU": sum(sizes)},
        used={**place.used, "GPU": sum(used) if told else rng.randint(0, 1)},
        held={**place.held, "GPU": sum(device_held.values())},
        devices={"GPU": sizes},
        device_used={"GPU": used} if told else {},
        device_held=device_held,
    )


def all_held(place: Host) -> dict[str, dict[str, int]]:
    """Return what is held of a host, of its devices as well, as a hold has it."""
    return {place.name: {**place.held, **place.device_held}}


def with_held(place: Host, amounts: Mapping[str, int], sign: int) -> Host:
    """Return a host with more held of it, and of its devices, or with less."""
    held, device_held = dict(place.held), dict(place.device_held)
    for name, amount in amounts.items():
        kept = device_held if "/" in name else held
        kept[name] = kept.get(name, 0) + sign * amount
    return replace(place, held=held, device_held=device_held)
