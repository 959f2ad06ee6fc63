"""Checks that each key is of its kind, a hash or a sorted set or another: else nobody can read it.

The keys of single jobs, owners and shapes are left to the checks that read them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rq_broker.store.audit.walk import PAGE, Walk
from rq_broker.store.keys import SET_ASIDE

KINDS: Mapping[str, tuple[str, ...]] = {
    "hash": ("", "bytes", "forecasts", "imported", "keys", "lost", "passed", "past_usage",
             "servers", SET_ASIDE, "shapes", "usage", "waiting"),
    "set": ("own_priority", "sources"),
    "stream": ("events", "holding_times"),
    "string": ("report", "turn:plan", "turn:plan:again"),
    "zset": ("alarms", "answering", "asked", "behind", "deadlines", "deliveries", "destinations",
             "ended", "failing", "heads", "hosts", "later", "open", "parked", "parting", "prompt",
             "reports", "tests", "status:beside", "status:done", "status:error", "status:granted",
             "status:queued", "status:running", "turned", "unheld", "wake", "withdrawals",
             "withdrawn"),
}  # fmt: skip
"""Kind → the keys of a type that have no more than a name, '' for the base; `audit` is check_log's.
The table of store/keys.py says the same."""


async def kinds_are_right(walk: Walk) -> bool:
    """Report the keys that are of another kind, and those that a script has set aside for that.

    Returns:
        Whether all can be read; else the other checks have to wait until `repair` drops them.
    """
    expected = [(name, kind) for kind, names in KINDS.items() for name in names]
    if not await _check(walk, expected):
        return False
    for name, _ in await walk.entries(SET_ASIDE, "HSCAN"):
        walk.fault(f"key {SET_ASIDE}:{name}", "is no key of the broker: a script found it there")
    hosts = [(f"host:{name}", "hash") for name, _ in await walk.entries("hosts")]
    return await _check(walk, hosts)


async def _check(walk: Walk, expected: Iterable[tuple[str, str]]) -> bool:
    are_right, listed = True, list(expected)
    for start in range(0, len(listed), PAGE):
        page = listed[start : start + PAGE]
        names = [walk.keys.of(name) if name else walk.keys.base for name, _ in page]
        kinds = await walk.pipeline(("TYPE", name) for name in names)
        for (name, kind), found in zip(page, kinds, strict=True):
            if found not in (kind, "none"):
                walk.wrong_kind(name, kind)
                are_right = False
    return are_right
