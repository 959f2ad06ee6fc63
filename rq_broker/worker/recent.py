"""What is kept of the types that had work last, and made anew for the others."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Generic, TypeVar

Kept = TypeVar("Kept")


class Recent(Generic[Kept]):
    """One object a type, for at most `limit` types and those that are busy."""

    def __init__(self, make: Callable[[str], Kept], limit: int) -> None:
        self._make = make
        self._limit = limit
        self._kept: dict[str, Kept] = {}
        """Type → its object; the latest used is the last."""

    def get(self, type_: str) -> Kept:
        """Return the object of a type."""
        kept = self._kept.pop(type_, None) or self._make(type_)
        self._kept[type_] = kept
        return kept

    def find(self, type_: str) -> Kept | None:
        """Return the object of a type if one is kept."""
        return self._kept.get(type_)

    def values(self) -> Collection[Kept]:
        """Return the objects of all types."""
        return self._kept.values()

    def shrink(self, is_busy: Callable[[str, Kept], bool]) -> None:
        """Drop the objects used longest ago, beyond the limit, that are not busy."""
        surplus = len(self._kept) - self._limit
        if surplus <= 0:
            return
        for type_ in [name for name, kept in self._kept.items() if not is_busy(name, kept)]:
            if surplus <= 0:
                break
            del self._kept[type_]
            surplus -= 1
