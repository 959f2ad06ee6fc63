"""domain/reports.py: events are added to the right hours, days and groups, within bounds."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, strategies as st

from rq_broker.domain.figures import WAIT_BOUNDS
from rq_broker.domain.report_sums import Sample, Sums
from rq_broker.domain.reports import (
    ALL,
    KEPT,
    LENGTHS,
    MOST_OWNERS,
    OWNERS_SLACK,
    REST,
    Happening,
    Kind,
    Tally,
    bucket_of,
    merge,
    owner_group,
    owner_of,
    steps_between,
)

DAY = 1_800_000_000 // 86400 * 86400
NOON = DAY + 12 * 3600.0


def decode(text: str) -> Sums:
    return msgspec.json.decode(text, type=Sums)


def encoded(groups: dict[str, Sums]) -> dict[str, str]:
    return {name: msgspec.json.encode(sums).decode() for name, sums in groups.items()}


def sums_of(tally: Tally, kind: Kind, group: str = ALL) -> dict[int, Sums]:
    """Return the sums of a group by the hour of the day in which its steps begin."""
    return {
        (step.start - DAY) // 3600: sums[group]
        for step, sums in sorted(tally.sums.items())
        if step.kind == kind and group in sums
    }


def test_each_event_is_counted_as_what_it_is() -> None:
    """A job's life counts a submit, each grant, each return and each end; other words nothing."""
    tally, owner = Tally(), "lab"
    words = [
        ("queued", ""),
        ("reordered", "queued"),
        ("granted", "queued"),
        ("offer_missed", "granted"),
        ("queued", "granted"),
        ("expected", "queued"),
        ("granted", "queued"),
        ("running", "granted"),
        ("expiring", "running"),
        ("error", "running"),
        ("queued", "error"),
        ("granted", "queued"),
        ("done", "granted"),
        ("deleted", "done"),
    ]
    for word, before in words:
        tally.add(Happening(NOON, word, before, owner))
    tally.add(Happening(NOON, "beside", "", "other", jobs=1000))
    tally.add(Happening(NOON, "deleted", "beside", "other"))
    (of_hour,) = sums_of(tally, "hour", owner_group(owner)).values()
    assert of_hour == Sums(submitted=1, granted=3, returned=1, done=1, failed=1)
    (of_all,) = sums_of(tally, "day").values()
    assert (of_all.submitted, of_all.withdrawn, of_all.done) == (1001, 1, 1)


def test_a_hold_is_spread_over_the_time_in_which_it_was() -> None:
    """A grant from 9:30 to 12:15 is in half of one hour, all of two, a quarter of the next."""
    tally = Tally()
    ended = Happening(NOON + 900, "done", "running", "lab", 1, None, 9900.0, 1, {"GPU": 2})
    tally.add(ended)
    hours = {hour: sums.held for hour, sums in sums_of(tally, "hour", "size/1").items()}
    assert hours == {
        9: {"GPU": 3600.0},
        10: {"GPU": 7200.0},
        11: {"GPU": 7200.0},
        12: {"GPU": 1800.0},
    }
    assert sums_of(tally, "day", owner_group("lab"))[0].held == {"GPU": 19800.0}


@given(st.floats(0, 4e7), st.sampled_from(sorted(LENGTHS)))
def test_no_second_is_lost_or_counted_twice(span: float, kind: Kind) -> None:
    """The parts of a time add up to it, but for what is older than steps are kept."""
    parts = list(steps_between(kind, NOON - span, NOON))
    kept = min(span, NOON - (NOON // LENGTHS[kind] * LENGTHS[kind] - KEPT[kind]))
    assert abs(sum(seconds for _, seconds in parts) - kept) < 1e-3
    assert all(0 < seconds <= LENGTHS[kind] for _, seconds in parts)
    assert len(parts) <= KEPT[kind] / LENGTHS[kind] + 1


def test_owners_are_bounded_and_nothing_of_them_is_lost() -> None:
    """Of a thousand owners a step names the largest, and the sums of all stay what they were."""
    stored: dict[str, str] = {}
    for number in range(1000):
        tally = Tally()
        jobs = 1000 if number % 100 == 0 else 1
        tally.add(Happening(NOON, "queued", "", f"o{number}", jobs))
        tally.add(Happening(NOON + 9, "done", "running", f"o{number}", 1, None, 9.0, 0, {"GPU": 1}))
        of_hour = next(sums for step, sums in tally.sums.items() if step.kind == "hour")
        groups, gone = merge(stored, of_hour, decode)
        stored = {name: text for name, text in stored.items() if name not in gone}
        stored |= encoded(groups)
        owners = [name for name in stored if owner_of(name) is not None]
        assert len(owners) <= MOST_OWNERS + OWNERS_SLACK
    assert {f"owner/o{number}" for number in range(0, 1000, 100)} <= stored.keys()
    parts = [decode(stored[name]) for name in (*owners, REST)]
    assert sum(sums.submitted for sums in parts) == decode(stored[ALL]).submitted == 10_990
    assert sum(sums.held["GPU"] for sums in parts) == decode(stored[ALL]).held["GPU"] == 9_000.0


def test_a_level_stands_for_as_long_as_it_stood() -> None:
    """What a look showed is multiplied by the time since, in each hour; a gap is beside it."""
    tally = Tally()
    tally.add_level(Sample(int(NOON - 1800) * 1000, {"GPU": 8}, {}, {"GPU": 6}, {}, 3), NOON + 600)
    tally.add_gap(NOON, NOON + 60)
    hours = {
        (step.start - DAY) // 3600: level
        for step, level in tally.levels.items()
        if step.kind == "hour"
    }
    assert (hours[11].seconds, hours[11].capacity, hours[11].jobs) == (1800, {"GPU": 14400}, 5400)
    assert (hours[12].seconds, hours[12].held, hours[12].uncounted) == (600, {"GPU": 3600}, 60)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50), st.floats(0.01, 1))
def test_the_bound_of_a_part_of_the_waits_is_none_below_it(waits: list[float], part: float) -> None:
    """What is told is true, and lies in the bucket of the wait that it stands for."""
    sums = Sums()
    for wait in waits:
        sums.add(Sums(waits={bucket_of(wait): 1}, waited=wait))
    told = sums.wait_bound(part)
    assert told is not None
    exact = sorted(waits)[max(-(-int(part * len(waits) * 1e9) // 10**9), 1) - 1]
    bounds = (0.0, *WAIT_BOUNDS, float("inf"))
    number = bucket_of(exact)
    assert max(bounds[number - 1], exact * (1 - 1e-9)) <= told <= bounds[number]


def test_the_sum_of_all_waits_bounds_each() -> None:
    """Where all waited about as long, the bound is that, and not where their bucket ends."""
    sums = Sums(waits={5: 100}, waited=100 * 61.0)
    assert sums.wait_bound(0.9) == pytest.approx(6100 / 11 - 60 * 89 / 11)
    assert Sums(waits={13: 2}, waited=2e6).wait_bound(0.9) == 2e6 - 604800


def test_no_wait_has_no_bound() -> None:
    """Of no grant nothing is told."""
    assert Sums().wait_bound(0.5) is None
