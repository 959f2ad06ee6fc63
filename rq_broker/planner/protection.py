"""Which hosts to keep for a job that was passed too long, and how much of each.

Without knowing when holds end, "soonest" is: the least capacity still missing, on the fewest hosts.
The set of hosts is remembered from pass to pass; what is needed of each is found anew within it,
by least missing. Others may take a host's free capacity beyond that need, and no more: it would be
free beside the protected job even if no other hold ever ended, so it cannot delay the job. Hence
what is missing never grows, each hold that ends on a needed host shrinks it, and the job's turn
comes when the holds it met there have ended.
"""

from __future__ import annotations

from heapq import heapify, heappop, heapreplace

from rq_broker.planner.board import Board, Need, Row, room
from rq_broker.planner.packing import Want, bits_of, pack
from rq_broker.planner.reasons import missing

Needs = dict[int, Row]
"""Host, as a bit → what the protected job needs of it."""


def choose(want: Want, potential: Board, kept: frozenset[str]) -> Needs | None:
    """Pick the hosts to keep, out of those kept before if they still can serve.

    `potential` holds, on the same bits as the want's board, what each host has without our holds.
    None: no set of hosts was found that could hold the job.
    """
    before = [bit for bit in bits_of(want.pool) if want.board.names[bit] in kept]
    if len(before) == len(kept):
        needs = _least_missing(want, potential, before)
        if needs is not None:
            return needs
    every = bits_of(want.pool)
    return _least_missing(want, potential, every) or _any(want, potential)


def _least_missing(want: Want, potential: Board, bits: list[int]) -> Needs | None:
    """Give each instance, largest kind first, the host where it adds least to what is missing."""
    needs: Needs = {}
    for need, count in want.kinds:
        heap = [
            (_key(want, need, needs, potential, bit), bit)
            for bit in bits
            if potential.permitted(need) >> bit & 1
            and _holds(potential, need, needs, bit, want.demand.spread)
        ]
        heapify(heap)
        for _ in range(count):
            if not heap:
                return None
            bit = heap[0][1]
            row = needs.setdefault(bit, {})
            for resource, amount in need:
                row[resource] = row.get(resource, 0) + amount
            if _holds(potential, need, needs, bit, want.demand.spread):
                heapreplace(heap, (_key(want, need, needs, potential, bit), bit))
            else:
                heappop(heap)
    return needs


def _holds(potential: Board, need: Need, needs: Needs, bit: int, spread: bool) -> bool:
    mine = needs.get(bit)
    if mine is None:
        return room(potential.rows[bit], need, 1) == 1
    return not spread and all(
        potential.rows[bit].get(resource, 0) - mine.get(resource, 0) >= amount
        for resource, amount in need
    )


def _key(
    want: Want, need: Need, needs: Needs, potential: Board, bit: int
) -> tuple[float, bool, int]:
    """Least missing first, then hosts in use already, then those that could take the most."""
    row, mine = want.board.rows[bit], needs.get(bit)
    if mine:
        left = {resource: row.get(resource, 0) - mine.get(resource, 0) for resource, _ in need}
        already = {resource: (-min(free, 0)) for resource, free in left.items()}
        gap = missing(want.board, need, left) - sum(
            short * want.board.weights.get(resource, 0.0) for resource, short in already.items()
        )
        return gap, False, 0
    return (
        missing(want.board, need, row),
        True,
        -room(potential.rows[bit], need, len(want.demand.instances)),
    )


def _any(want: Want, potential: Board) -> Needs | None:
    """Fall back on any packing of the hosts without our holds."""
    found = pack(potential, want.kinds, want.pool, want.demand.spread, [1000])
    if found is None:
        return None
    needs: Needs = {}
    for need, bits in found.items():
        for bit in bits:
            row = needs.setdefault(bit, {})
            for resource, amount in need:
                row[resource] = row.get(resource, 0) + amount
    return needs
