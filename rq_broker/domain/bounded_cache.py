"""A cache that is bounded by the memory of what it keeps, not by the number of entries."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class BoundedCache(Generic[_Key, _Value]):
    """Keeps the values that were used last, as many as fit into some bytes."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._entries: OrderedDict[_Key, tuple[_Value, int]] = OrderedDict()
        self.bytes = 0
        """The sizes of all entries, added up."""

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: _Key) -> _Value | None:
        """Return the value of a key, None if it is not kept."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, key: _Key, value: _Value, size: int) -> None:
        """Keep a value of some bytes, and drop what was not used for longest until all fits.

        A value that is larger than the whole cache is not kept.
        """
        self.pop(key)
        self._entries[key] = (value, size)
        self.bytes += size
        while self.bytes > self._most_bytes:
            _, (_, dropped) = self._entries.popitem(last=False)
            self.bytes -= dropped

    def pop(self, key: _Key) -> None:
        """Drop a key, if it is kept."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.bytes -= entry[1]
