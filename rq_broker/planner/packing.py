"""Where all instances of a job go at once: exact when they are alike, bounded search when not.

Alike instances (every single-instance job among them) are counted host by host, fullest host first,
which is exact. Mixed ones are packed largest first by best fit; if that fails and the job is small,
a search that tries the other hosts too, under a budget of steps the whole pass shares.
"""

from __future__ import annotations

from collections import Counter

from rq_broker.domain.jobs import Demand
from rq_broker.planner.board import Board, Finder, Need, Row, room

Kinds = list[tuple[Need, int]]
"""Each kind of instance and how many there are of it."""
Placement = dict[Need, list[int]]
"""Kind of instance → the host of each, as bits."""
SEARCH_SIZE = 12
"""Mixed jobs of at most this many instances are searched when best fit fails."""
SEARCH_STEPS = 5000
"""Hosts tried by all searches of one pass together: some 10 ms."""


class Want:
    """One demand during one pass; every shape with that demand shares it."""

    __slots__ = ("_finder", "board", "demand", "failed", "kinds", "pool", "total")

    def __init__(self, board: Board, demand: Demand) -> None:
        self.board = board
        self.demand = demand
        self.pool = board.pool(demand.aggregate)
        self.kinds = kinds_of(board, demand)
        self.total = total(demand)
        self.failed = False
        self._finder = Finder(board, self.kinds[0][0], self.pool) if len(self.kinds) == 1 else None

    def place(self, closed: int, budget: list[int]) -> list[int] | None:
        """Find a host for each instance and take what it needs there, or change nothing.

        Answers bits in the order of `instances`. After None the demand has failed for this pass.
        """
        if not self.failed:
            finder = self._finder
            bits = self._alike(finder, closed) if finder else self._mixed(closed, budget)
            if bits is not None:
                return bits
            self.failed = True
        return None

    def _alike(self, finder: Finder, closed: int) -> list[int] | None:
        need, missing = self.kinds[0]
        spread = self.demand.spread
        picks: list[tuple[int, int]] = []
        while missing:
            found = finder.pop(closed)
            if found is None:
                return None
            bit, times = found
            times = 1 if spread else min(times, missing)
            picks.append((bit, times))
            missing -= times
        bits: list[int] = []
        for bit, times in picks:
            self.board.take(bit, need, times)
            bits += [bit] * times
        return bits

    def _mixed(self, closed: int, budget: list[int]) -> list[int] | None:
        by_need = pack(self.board, self.kinds, self.pool & ~closed, self.demand.spread, budget)
        if by_need is None:
            return None
        bits = [by_need[need].pop() for need in self.demand.instances]
        for bit, need in zip(bits, self.demand.instances, strict=True):
            self.board.take(bit, need)
        return bits


def total(demand: Demand) -> Row:
    """Add up what all instances need together."""
    amounts: Row = {}
    for need in demand.instances:
        for resource, amount in need:
            amounts[resource] = amounts.get(resource, 0) + amount
    return amounts


def kinds_of(board: Board, demand: Demand) -> Kinds:
    """Group equal instances, largest first."""
    kinds = Counter(demand.instances).items()
    return sorted(kinds, key=lambda kind: (-_size(board, kind[0]), kind[0]))


def _size(board: Board, need: Need) -> float:
    """The largest share of the largest host that an instance needs of any resource."""
    return max(
        (board.weights.get(resource, 0.0) * amount for resource, amount in need), default=0.0
    )


def bits_of(mask: int) -> list[int]:
    """List the bits set in a mask, ascending."""
    return [bit for bit, digit in enumerate(bin(mask)[:1:-1]) if digit == "1"]


def pack(
    board: Board, kinds: Kinds, pool: int, spread: bool, budget: list[int]
) -> Placement | None:
    """Find hosts for instances of several kinds, largest kind first; changes nothing."""
    if provably_too_much(board, kinds, pool, spread):
        return None
    found = _best_fit(board, kinds, pool, spread)
    if found is None and sum(count for _, count in kinds) <= SEARCH_SIZE:
        found = _Search(board, kinds, pool, spread, budget).run()
    return found


def provably_too_much(board: Board, kinds: Kinds, pool: int, spread: bool) -> bool:
    """Say whether some kind alone, or the sum of all, exceeds what the pool has free."""
    if not pool or (spread and sum(count for _, count in kinds) > pool.bit_count()):
        return True
    if not all(_enough(board, kind, pool, spread) for kind in kinds):
        return True
    return len(kinds) > 1 and not _adds_up(board, kinds, pool)


def _enough(board: Board, kind: tuple[Need, int], pool: int, spread: bool) -> bool:
    need, count = kind
    pool &= board.permitted(need)
    untouched = board.fitting(need, pool) & ~board.touched
    if untouched.bit_count() >= count:
        return True
    for bit in bits_of(untouched | pool & board.touched):
        count -= room(board.rows[bit], need, 1 if spread else count)
        if count <= 0:
            return True
    return False


def _adds_up(board: Board, kinds: Kinds, pool: int) -> bool:
    rows = [board.rows[bit] for bit in bits_of(pool)]
    amounts: Row = {}
    for need, count in kinds:
        for resource, amount in need:
            amounts[resource] = amounts.get(resource, 0) + amount * count
    return all(
        sum(max(row.get(resource, 0), 0) for row in rows) >= amount
        for resource, amount in amounts.items()
    )


def _best_fit(board: Board, kinds: Kinds, pool: int, spread: bool) -> Placement | None:
    trial: dict[int, Row] = {bit: board.rows[bit] for bit in bits_of(pool)}
    slack = {bit: board.fullness[bit] for bit in trial}
    found: Placement = {}
    for need, count in kinds:
        bits, permitted = list[int](), board.permitted(need)
        found[need] = bits
        for bit in sorted(trial, key=slack.__getitem__):
            if not permitted >> bit & 1:
                continue
            times = room(trial[bit], need, 1 if spread else count - len(bits))
            if times:
                bits += [bit] * times
                trial[bit] = _less(trial[bit], need, times)
                slack[bit] = board.slack(trial[bit])
                if spread:
                    del trial[bit]
            if len(bits) == count:
                break
        if len(bits) < count:
            return None
    return found


def _less(row: Row, need: Need, times: int) -> Row:
    left = dict(row)
    for resource, amount in need:
        left[resource] -= amount * times
    return left


class _Search:
    """Depth-first over the instances, best fit first, until a placement or the budget's end."""

    def __init__(
        self, board: Board, kinds: Kinds, pool: int, spread: bool, budget: list[int]
    ) -> None:
        self.board = board
        self.needs = [need for need, count in kinds for _ in range(count)]
        self.spread = spread
        self.budget = budget
        self.rows = {bit: board.rows[bit] for bit in bits_of(pool)}
        self.bits: list[int] = []

    def run(self) -> Placement | None:
        if not self._descend():
            return None
        found: Placement = {}
        for need, bit in zip(self.needs, self.bits, strict=True):
            found.setdefault(need, []).append(bit)
        return found

    def _descend(self) -> bool:
        depth = len(self.bits)
        if depth == len(self.needs):
            return True
        need = self.needs[depth]
        for bit in self._choices(need):
            if self.budget[0] <= 0:
                return False
            self.budget[0] -= 1
            row = self.rows[bit]
            self.rows[bit] = _less(row, need, 1)
            self.bits.append(bit)
            if self._descend():
                return True
            self.bits.pop()
            self.rows[bit] = row
        return False

    def _choices(self, need: Need) -> list[int]:
        """Hosts with room, fullest first, one of each set of equal rows."""
        equal: dict[tuple[tuple[tuple[str, int], ...], tuple[tuple[str, int], ...]], int] = {}
        permitted = self.board.permitted(need)
        for bit, row in self.rows.items():
            if not permitted >> bit & 1 or (self.spread and bit in self.bits):
                continue
            if room(row, need, 1):
                most = tuple(sorted(self.board.most.get(bit, {}).items()))
                equal.setdefault((tuple(sorted(row.items())), most), bit)
        return sorted(equal.values(), key=lambda bit: (self.board.slack(self.rows[bit]), bit))
