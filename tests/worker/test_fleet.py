"""The live notifiers: all rank them alike, and notice who leaves."""

from __future__ import annotations

from collections import Counter

import pytest

from rq_broker.store.broker import Broker, NotifierReport
from rq_broker.worker.fleet import DEAD_SECONDS, FORGET_SECONDS, Fleet

TYPES = [f"type{number}" for number in range(300)]


async def _fleets(broker: Broker, count: int) -> list[Fleet]:
    """Make notifiers that know of each other."""
    fleets = [Fleet(broker, ()) for _ in range(count)]
    for _ in range(2):
        for fleet in fleets:
            await fleet.run_once()
    return fleets


async def test_each_type_has_one_first_notifier(broker: Broker) -> None:
    """Notifiers agree on their order for every type, and share the types about evenly."""
    fleets = await _fleets(broker, 3)
    for type_ in TYPES:
        assert sorted(fleet.rank(type_) or 0 for fleet in fleets) == [0, 1, 2]
    firsts = Counter(fleet.name for fleet in fleets for type_ in TYPES if fleet.rank(type_) == 0)
    assert all(count > len(TYPES) / 6 for count in firsts.values())


async def test_only_the_types_of_who_leaves_move(broker: Broker) -> None:
    """When a notifier retires, the others keep their types, are told, and share its types."""
    first, second, leaving = await _fleets(broker, 3)
    told = []
    first.on_left = lambda: told.append(first.name)
    before = {type_ for type_ in TYPES if first.rank(type_) == 0}
    await leaving.retire()
    await first.run_once()
    await second.run_once()
    assert told == [first.name]
    assert (first.size, second.size) == (2, 2)
    assert before < {type_ for type_ in TYPES if first.rank(type_) == 0}


async def test_a_notifier_of_some_types_ranks_for_these_only(broker: Broker) -> None:
    """A notifier with types of its own has no rank for others, and none counts it there."""
    everything, some = Fleet(broker, ()), Fleet(broker, ["vm"])
    for fleet in (everything, some, everything):
        await fleet.run_once()
    assert some.rank("kube") is None
    assert everything.rank("kube") == 0
    assert (everything.count("kube"), everything.count("vm")) == (1, 2)
    assert {everything.rank("vm"), some.rank("vm")} == {0, 1}


@pytest.mark.parametrize(
    ("age", "size", "is_listed"),
    [(DEAD_SECONDS / 2, 2, True), (DEAD_SECONDS * 2, 1, True), (FORGET_SECONDS * 2, 1, False)],
)
async def test_a_silent_notifier_is_dead_and_then_forgotten(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, age: float, size: int, is_listed: bool
) -> None:
    """A notifier that reports no more gets no types; much later it leaves the list."""
    await broker.report_notifier("silent")
    read = broker.notifiers

    async def later() -> list[NotifierReport]:
        reports = await read()
        return [
            NotifierReport(report.name, report.types, age if report.name == "silent" else 0.0)
            for report in reports
        ]

    monkeypatch.setattr(broker, "notifiers", later)
    fleet = Fleet(broker, ())
    await fleet.run_once()
    assert fleet.size == size
    assert ("silent" in {report.name for report in await read()}) == is_listed
