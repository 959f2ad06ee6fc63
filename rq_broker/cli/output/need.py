"""What a job needs in the words of people: `4 × VCPU 8, 32 GB`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

_MEMORY, _DISK = "Memory", "Disk"
"""The resources that have a unit, MB and GB, in every type; the dashboard shows them so, too."""
_WORDS = ("require", "forbid", "count")


def need_of(job: Mapping[str, Any]) -> str:
    """Return what a job of the API needs; what is not for the caller to read is `-`."""
    try:
        data = json.loads(job.get("Data") or "null")
    except ValueError:
        return "-"
    if not isinstance(data, dict):
        return "-"
    options = [data, *_maps(data.get("alternatives"))]
    return " or ".join(map(need, options))


def amounts(values: Mapping[str, Any]) -> str:
    """Return amounts by resource, as `VCPU 8, 32 GB, Disk 100 GB`; of devices their sizes."""
    ordered = sorted(values.items(), key=lambda item: (item[0] == _DISK, item[0] == _MEMORY))
    return ", ".join(_amount(name, value) for name, value in ordered) or "nothing"


def _amount(name: str, value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"{name} {' + '.join(map(str, value))}"
    if name == _MEMORY and isinstance(value, int):
        return _size(value)
    if name == _DISK and isinstance(value, int):
        return f"Disk {value} GB"
    return f"{name} {value}"


def _size(mebibytes: int) -> str:
    """Return an amount of memory by the largest unit that it is a whole or simple number of."""
    if abs(mebibytes) < 1024:
        return f"{mebibytes} MB"
    return f"{mebibytes / 1024:.4g} GB"


def _maps(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def need(option: Mapping[str, Any]) -> str:
    """Return what a demand, or one alternative, asks for."""
    groups: dict[str, list[int]] = {}
    for instance in _maps(option.get("instances")) or [{"Slots": 1}]:
        least, most = _count(instance.get("count", 1))
        total = groups.setdefault(_instance(instance), [0, 0])
        total[0], total[1] = total[0] + least, total[1] + most
    words = [_times(text, *counts) for text, counts in groups.items()]
    return " + ".join(words) + _conditions(option)


def _instance(instance: Mapping[str, Any]) -> str:
    resources = {
        name: value
        for name, value in instance.items()
        if name != "count" and not (name in _WORDS and isinstance(value, list))
    }
    return amounts(resources) + _traits(instance)


def _count(count: Any) -> tuple[int, int]:
    match count:
        case {"min": int(least), "max": int(most)}:
            return least, most
        case int(number):
            return number, number
    return 1, 1


def _times(text: str, least: int, most: int) -> str:
    if least != most:
        return f"{least}–{most} × {text}"
    return text if least == 1 else f"{least} × {text}"


def _conditions(option: Mapping[str, Any]) -> str:
    words = _traits(option)
    if aggregate := option.get("host_aggregate"):
        words += f" in {aggregate}"
    if any_of := _names(option.get("any_aggregate")):
        words += f" in {' or '.join(any_of)}"
    return words + (" spread" if option.get("spread") is True else "")


def _traits(option: Mapping[str, Any]) -> str:
    wanted, unwanted = _names(option.get("require")), _names(option.get("forbid"))
    words = f" with {', '.join(wanted)}" if wanted else ""
    return words + (f" without {', '.join(unwanted)}" if unwanted else "")


def _names(value: Any) -> Sequence[str]:
    return [str(name) for name in value] if isinstance(value, list) else []
