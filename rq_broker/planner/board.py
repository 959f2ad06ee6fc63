"""Free capacity during one pass: hosts are bits, so "where could this fit" is a few ANDs.

Within a pass free capacity only shrinks. Three things follow: a host that cannot hold an instance
need never be asked again for that kind; the bit masks taken at the start stay supersets; and a
demand that failed once has failed for the rest of the pass.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from copy import copy
from heapq import heappop, heappush

from rq_broker.domain.capacity import Host

Need = tuple[tuple[str, int], ...]
"""One instance: its (resource, amount > 0) pairs."""
Row = dict[str, int]
"""Resource → free amount of one host; may be below 0."""


def free(host: Host) -> Row:
    """What a host has left now."""
    return host.free


def unheld(host: Host) -> Row:
    """What a host would have left if every hold of ours ended."""
    return {r: amount - host.used.get(r, 0) for r, amount in host.capacity.items()}


def empty(host: Host) -> Row:
    """What a host would have if nobody used it at all."""
    return dict(host.capacity)


def room(row: Mapping[str, int], need: Need, most: int) -> int:
    """How often `need` fits in `row`, at most `most`."""
    for resource, amount in need:
        times = row.get(resource, 0) // amount
        if times < most:
            if times <= 0:
                return 0
            most = times
    return most


class Board:
    """Rows of free capacity, numbered fullest host first; dropped hosts are not on it."""

    __slots__ = (
        "_levels",
        "_permitted",
        "all",
        "fullness",
        "log",
        "most",
        "names",
        "pools",
        "rows",
        "touched",
        "version",
        "weights",
    )

    def __init__(self, hosts: Iterable[Host], row: Callable[[Host], Row] = free) -> None:
        usable = [host for host in hosts if not host.dropped]
        self.weights = _weights(usable)
        listed = sorted(
            (
                (self.slack(values), host.name, values, host)
                for host in usable
                for values in [row(host)]
            ),
            key=lambda entry: entry[:2],
        )
        self.fullness = [entry[0] for entry in listed]
        self.names = [entry[1] for entry in listed]
        self.rows = [entry[2] for entry in listed]
        self.pools: dict[str, int] = {}
        for bit, entry in enumerate(listed):
            for aggregate in entry[3].aggregates:
                self.pools[aggregate] = self.pools.get(aggregate, 0) | 1 << bit
        self.all = (1 << len(listed)) - 1
        self.most = {bit: one[3].max_unit for bit, one in enumerate(listed) if one[3].max_unit}
        self._permitted: dict[Need, int] = {}
        self.touched = 0
        self.version = [0] * len(listed)
        self.log: list[int] = []
        self._levels: dict[str, tuple[list[int], list[int]]] = {}

    def twin(self, rows: list[Row]) -> Board:
        """The same hosts on the same bits with other amounts free, to look at, not to take from."""
        other = copy(self)
        other.rows = rows
        other.fullness = [self.slack(row) for row in rows]
        other._levels = {}
        return other

    def slack(self, row: Mapping[str, int]) -> float:
        """All that is free on a host as one number: each resource in units of the largest host.

        Best fit takes the host where least is left over. Left over = slack − what the instance
        takes, and the latter is the same on every host: so the fullest host that fits is the one.
        """
        weights = self.weights
        return sum(weights[resource] * amount for resource, amount in row.items())

    def pool(self, aggregate: str | None) -> int:
        """The hosts of an aggregate, or all of them, as a mask."""
        return self.all if aggregate is None else self.pools.get(aggregate, 0)

    def permitted(self, need: Need) -> int:
        """The hosts that let one instance be as large as `need`, whatever is free, as a mask."""
        if not self.most:
            return self.all
        mask = self._permitted.get(need)
        if mask is None:
            mask = self.all
            for bit, most in self.most.items():
                if any(amount > most.get(resource, amount) for resource, amount in need):
                    mask &= ~(1 << bit)
            self._permitted[need] = mask
        return mask

    def single(self, bit: int) -> Row:
        """What one instance could have at most of a host."""
        row, most = self.rows[bit], self.most.get(bit)
        if most is None:
            return row
        return {resource: min(free, most.get(resource, free)) for resource, free in row.items()}

    def fitting(self, need: Need, pool: int) -> int:
        """The hosts of `pool` that could hold one `need` when the pass began, as a mask."""
        pool &= self.permitted(need)
        for resource, amount in need:
            values, masks = self._levels.get(resource) or self._level(resource)
            at = bisect_left(values, amount)
            pool &= masks[at] if at < len(masks) else 0
        return pool

    def _level(self, resource: str) -> tuple[list[int], list[int]]:
        """Build value → mask of the hosts with at least that much, ascending."""
        by_value: dict[int, int] = {}
        for bit, row in enumerate(self.rows):
            amount = row.get(resource, 0)
            by_value[amount] = by_value.get(amount, 0) | 1 << bit
        values = sorted(by_value)
        masks, mask = [], 0
        for value in reversed(values):
            mask |= by_value[value]
            masks.append(mask)
        self._levels[resource] = level = (values, masks[::-1])
        return level

    def take(self, bit: int, need: Iterable[tuple[str, int]], times: int = 1) -> None:
        """Use up `times` × `need` on one host."""
        row, left = self.rows[bit], self.fullness[bit]
        for resource, amount in need:
            row[resource] = row.get(resource, 0) - amount * times
            left -= self.weights.get(resource, 0.0) * amount * times
        self.fullness[bit] = left
        self.touched |= 1 << bit
        self.log.append(bit)
        self.version[bit] = len(self.log)


def _weights(hosts: Iterable[Host]) -> dict[str, float]:
    largest: dict[str, int] = {}
    for host in hosts:
        for resource, amount in host.capacity.items():
            if amount > largest.setdefault(resource, 0):
                largest[resource] = amount
    return {resource: 1 / amount if amount else 0.0 for resource, amount in largest.items()}


class Finder:
    """The hosts of one pool that can hold one kind of instance, fullest first, kept lazily.

    Untouched hosts wait in a mask, lowest bit first; touched ones in a heap fed from the board's
    log. So asking costs what changed since the last time, not the number of hosts. An entry counts
    while its host has the version it was pushed at: a host is never offered twice as it stands.
    """

    __slots__ = ("_board", "_heap", "_need", "_pool", "_rest", "_seen")

    def __init__(self, board: Board, need: Need, pool: int) -> None:
        self._board = board
        self._need = need
        self._pool = board.fitting(need, pool)
        self._rest = self._pool
        self._heap: list[tuple[float, int, int]] = []
        self._seen = 0

    def pop(self, closed: int) -> tuple[int, int] | None:
        """Take the fullest host not in the mask `closed`: (bit, how often it fits), or None.

        A taken host comes back once the board's log names it again.
        """
        board = self._board
        self._refresh()
        self._rest &= ~(board.touched | closed)
        heap = self._heap
        while True:
            low = self._rest & -self._rest
            if low:
                bit = low.bit_length() - 1
                if not heap or board.fullness[bit] <= heap[0][0]:
                    self._rest ^= low
                    return bit, room(board.rows[bit], self._need, MOST)
            elif not heap:
                return None
            _, bit, version = heappop(heap)
            if version == board.version[bit] and not closed >> bit & 1:
                times = room(board.rows[bit], self._need, MOST)
                if times:
                    return bit, times

    def _refresh(self) -> None:
        board = self._board
        if self._seen == len(board.log):
            return
        for bit in set(board.log[self._seen :]):
            if self._pool >> bit & 1:
                heappush(self._heap, (board.fullness[bit], bit, board.version[bit]))
        self._seen = len(board.log)


MOST = 1 << 62
"""More instances than any job has: the room for an instance that needs nothing."""
