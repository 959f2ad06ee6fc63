"""What is kept of the types that had work last."""

from __future__ import annotations

from rq_broker.worker.recent import Recent


def test_the_types_used_longest_ago_are_dropped_unless_busy() -> None:
    """Beyond the limit the oldest go; busy ones stay, however many there are."""
    recent = Recent[list[str]](lambda type_: [type_], limit=2)
    first = recent.get("a")
    for type_ in ("b", "c", "a", "d"):
        recent.get(type_)
    recent.shrink(lambda type_, _: type_ == "b")
    assert [kept[0] for kept in recent.values()] == ["b", "d"]
    assert recent.get("a") is not first
    assert recent.get("b") is recent.get("b")
