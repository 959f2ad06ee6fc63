"""Why a job waits, in a stable word for programs and a sentence for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from rq_broker.domain.capacity import Host
from rq_broker.domain.jobs import Demand
from rq_broker.planner.board import Board, Need, Row, empty, room
from rq_broker.planner.ledger import Cap
from rq_broker.planner.packing import bits_of, kinds_of, provably_too_much


class Code(StrEnum):
    """The stable words. Once published, a word keeps its meaning."""

    NO_FIT = "no_fit"
    IMPOSSIBLE = "impossible"
    PAUSED = "paused"
    PROTECTED_OTHER = "protected_other"
    STRICT_ORDER = "strict_order"
    OWNER_LIMIT = "owner_limit"
    DESTINATION_CLOSED = "destination_closed"
    NEXT_PASS = "next_pass"


@dataclass(frozen=True, slots=True)
class Shortfall:
    """One resource one instance lacks on one host; `free` may be below 0."""

    host: str
    resource: str
    needed: int
    free: int


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a job waits. `shortfalls` are the closest host's, where no host fits an instance."""

    code: Code
    text: str
    shortfalls: tuple[Shortfall, ...] = ()


PAUSED = Reason(Code.PAUSED, "grants are paused for this type")
NEXT_PASS = Reason(Code.NEXT_PASS, "not looked at yet: jobs before it were granted just now")


def closed(destination: str) -> Reason:
    """Its callback's destination cannot be called now."""
    text = f"{destination} does not answer callbacks; the job keeps its place until it does"
    return Reason(Code.DESTINATION_CLOSED, text)


def over_limit(owner: str, cap: Cap) -> Reason:
    """Its owner holds as much as the policy lets it."""
    text = (
        f"needs {cap.resource} {cap.needs}, but its owner {owner} may hold {cap.limit} "
        f"and holds {cap.holds}"
    )
    kept = f", with {cap.kept} kept for an earlier job of that owner" if cap.kept else ""
    return Reason(Code.OWNER_LIMIT, text + kept)


def behind(code: Code, request_id: str) -> Reason:
    """It would fit, but what it would take is kept for an earlier job."""
    if code is Code.STRICT_ORDER:
        return Reason(code, f"would fit, but strict order puts {request_id} first")
    text = f"would fit, but the hosts are kept for {request_id}, which others passed for too long"
    return Reason(code, text)


def could_ever_fit(hosts: Mapping[str, Host], demand: Demand) -> Reason | None:
    """Say why no host of this type could ever hold the demand, or None if perhaps they could.

    Looks at capacity alone, as if nobody used anything. Dropped hosts do not count. None means
    "not provably impossible": mixed gangs may still be beyond what packs.
    """
    board = Board(hosts.values(), empty)
    return impossible(board, demand)


def impossible(board: Board, demand: Demand) -> Reason | None:
    """The same on a board of empty hosts."""
    kinds, pool = kinds_of(board, demand), board.pool(demand.aggregate)
    if not provably_too_much(board, kinds, pool, demand.spread):
        return None
    where = _where(demand)
    if not pool:
        return Reason(Code.IMPOSSIBLE, f"there is no host{where}")
    for need, _ in kinds:
        single, shortfalls = _closest(board, need, bits_of(pool))
        if shortfalls:
            lacks = _lacks(shortfalls, single, "the largest is")
            text = f"no host{where} could ever hold this: needs {lacks}"
            return Reason(Code.IMPOSSIBLE, text, shortfalls)
    text = f"the hosts{where} could never hold this: needs {_gang(demand, board, kinds[0], pool)}"
    return Reason(Code.IMPOSSIBLE, text)


def no_fit(board: Board, demand: Demand) -> Reason:
    """Say what is missing on the host that comes closest, or how many instances would fit."""
    kinds, pool = kinds_of(board, demand), board.pool(demand.aggregate)
    bits = bits_of(pool)
    where = _where(demand)
    for need, _ in kinds:
        single, shortfalls = _closest(board, need, bits)
        if shortfalls:
            text = f"needs {_lacks(shortfalls, single, 'the most free is', where)}"
            return Reason(Code.NO_FIT, text, shortfalls)
    worst = min(kinds, key=lambda kind: _fits(board, kind, bits, demand.spread) / kind[1])
    return Reason(Code.NO_FIT, f"needs {_gang(demand, board, worst, pool, where)}")


def _where(demand: Demand) -> str:
    return "" if demand.aggregate is None else f" of aggregate {demand.aggregate}"


def _closest(board: Board, need: Need, bits: Iterable[int]) -> tuple[bool, tuple[Shortfall, ...]]:
    """Find the host with the least missing: whether no other has more of it, and what it lacks.

    No shortfalls: some host fits.
    """
    least, at = None, -1
    for bit in bits:
        gap = missing(board, need, board.single(bit))
        if not gap:
            return True, ()
        if least is None or gap < least:
            least, at = gap, bit
    row = board.single(at)
    lacks = tuple(
        Shortfall(board.names[at], resource, amount, row.get(resource, 0))
        for resource, amount in need
        if row.get(resource, 0) < amount
    )
    single = len(lacks) == 1 and all(
        board.single(bit).get(lacks[0].resource, 0) <= lacks[0].free for bit in bits
    )
    return single, lacks


def missing(board: Board, need: Need, row: Row) -> float:
    """What a host lacks for an instance, each resource in units of the largest host."""
    gap = 0.0
    for resource, amount in need:
        short = amount - row.get(resource, 0)
        if short > 0:
            gap += short * (board.weights.get(resource) or 1.0)
    return gap


def _lacks(shortfalls: tuple[Shortfall, ...], single: bool, best: str, where: str = "") -> str:
    first = shortfalls[0]
    needs = " and ".join(f"{lack.resource} {lack.needed}" for lack in shortfalls)
    if single:
        return f"{needs} on one host{where}; {best} {first.free} on {first.host}"
    has = " and ".join(f"{lack.resource} {lack.free}" for lack in shortfalls)
    return f"{needs} on one host{where}; the closest is {first.host} with {has}"


def _fits(board: Board, kind: tuple[Need, int], bits: Iterable[int], spread: bool) -> int:
    need, count = kind
    permitted = board.permitted(need)
    return sum(
        room(board.rows[bit], need, 1 if spread else count) for bit in bits if permitted >> bit & 1
    )


def _gang(demand: Demand, board: Board, kind: tuple[Need, int], pool: int, where: str = "") -> str:
    need, count = kind
    each = " and ".join(f"{resource} {amount}" for resource, amount in need) or "nothing"
    fits = min(_fits(board, kind, bits_of(pool), demand.spread), count)
    spread = ", each on a host of its own," if demand.spread else ""
    wanted = f"{count} instance{'s' * (count > 1)} of {each}"
    if fits < count:
        return f"{wanted}{spread} at once{where}; {fits} would fit"
    others = len(demand.instances) - count
    rest = f"{others} other{'s' * (others > 1)}"
    return f"{wanted} and {rest}{spread} at once{where}; not all would fit"
