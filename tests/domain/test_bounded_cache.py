"""The cache that is bounded in bytes, and the sizes that it is told."""

from __future__ import annotations

import tracemalloc

from rq_broker.domain.bounded_cache import BoundedCache
from rq_broker.domain.jobs import Demand, Shape


def test_what_was_used_last_is_kept() -> None:
    """A value that does not fit drops those that were not used for longest."""
    cache = BoundedCache[str, int](10)
    for number, key in enumerate("abc"):
        cache.put(key, number, 3)
    assert cache.get("a") == 0
    cache.put("d", 3, 4)
    assert [cache.get(key) for key in "abcd"] == [0, None, 2, 3]
    assert cache.bytes == 10


def test_an_entry_that_is_replaced_or_dropped_counts_once() -> None:
    """The sum of the sizes is that of the entries there are; too large a value is not kept."""
    cache = BoundedCache[str, int](10)
    cache.put("a", 1, 4)
    cache.put("a", 2, 5)
    assert (cache.get("a"), cache.bytes, len(cache)) == (2, 5, 1)
    cache.put("b", 3, 11)
    assert (cache.get("b"), cache.bytes, len(cache)) == (None, 0, 0)
    cache.pop("a")
    assert cache.bytes == 0


def test_the_size_of_a_parsed_demand_is_not_underestimated() -> None:
    """What a parsed shape is said to take is at least what it takes, within a factor of four."""
    kinds = [tuple((f"resource-{k:03}", 1000 + n + k) for k in range(40)) for n in range(3)]
    for instances in ((kinds[0],) * 1000, tuple(kinds), (kinds[0][:1],)):
        text = Shape(Demand(instances), "o", "http://x:80").canonical()
        tracemalloc.start()
        parsed = [Shape.parse(text) for _ in range(20)]
        measured = tracemalloc.get_traced_memory()[0] / 20
        tracemalloc.stop()
        assert measured <= parsed[0].demand.bytes <= 4 * measured
