"""The snapshot a pass is planned on, and the reasons that follow from it; on both stores."""

from __future__ import annotations

from typing import Any

import pytest

from rq_broker.admission import snapshot as snapshots
from rq_broker.admission.snapshot import SnapshotReader, read_snapshot
from rq_broker.domain.jobs import Status
from rq_broker.planner import HostTables
from rq_broker.store.broker import Broker, TypeState
from tests.explaining import queued
from tests.making import TYPE, bring, head_of, publish

# What a snapshot shows


async def test_the_snapshot_of_an_unused_type_is_empty(broker: Broker) -> None:
    """A type that was never used has no hosts and no waiting jobs."""
    snapshot = (await read_snapshot(broker, TYPE)).snapshot
    assert (dict(snapshot.hosts), snapshot.waiting) == ({}, ())


async def test_a_snapshot_shows_shapes_in_order_with_their_first_jobs(broker: Broker) -> None:
    """Shapes come in the order of their first jobs, with heads, count, and Redis's own time."""
    await publish(broker)
    for request_id, vcpus in (("a", 2), ("b", 1), ("c", 2), ("d", 2)):
        await queued(broker, request_id, vcpus)
    before = await broker.now(TYPE)
    snapshot = (await read_snapshot(broker, TYPE, heads=2)).snapshot
    heads = [[head.request_id for head in shape.heads] for shape in snapshot.waiting]
    assert heads == [["a", "c"], ["b"]]
    assert [shape.count for shape in snapshot.waiting] == [3, 1]
    assert list(snapshot.hosts) == ["h1"]
    assert before <= snapshot.now <= await broker.now(TYPE)


@pytest.mark.parametrize("policy", [{"share": "owner"}, {"limits": {"*": {"VCPU": 9}}}])
async def test_what_owners_hold_is_read_once_the_policy_needs_it(
    broker: Broker, policy: dict[str, Any]
) -> None:
    """The first snapshot after a policy begins to share or limit has usage already."""
    await bring(broker, Status.GRANTED)
    first = await read_snapshot(broker, TYPE)
    second = await read_snapshot(broker, TYPE, first.state)
    await broker.set_policy(TYPE, policy)
    third = await read_snapshot(broker, TYPE, second.state)
    fourth = await read_snapshot(broker, TYPE, third.state)
    assert third.snapshot.usage == fourth.snapshot.usage == {"o": {"VCPU": 1}}


# Only changes are read


async def test_reading_on_from_a_view_misses_no_change(broker: Broker) -> None:
    """Given an earlier state, hosts published, changed and dropped since are seen."""
    await publish(broker, "h1")
    await publish(broker, "h2")
    first = await read_snapshot(broker, TYPE)
    await publish(broker, "h1", VCPU=1)
    await publish(broker, "h3")
    await broker.drop_host(TYPE, "h2")
    second = await read_snapshot(broker, TYPE, first.state)
    assert sorted(second.state.hosts) == ["h1", "h3"]
    assert second.state.hosts["h1"].capacity == {"VCPU": 1}
    assert sorted(first.state.hosts) == ["h1", "h2"]


async def test_a_reader_reads_only_what_changed(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From its second snapshot on a process reads changed hosts only, of a bounded set of types."""
    known_states, type_state = list[object](), broker.type_state

    async def recorded(
        type_: str, known: TypeState | None = None, *, usage: bool = False
    ) -> TypeState:
        known_states.append(known)
        return await type_state(type_, known, usage=usage)

    monkeypatch.setattr(broker, "type_state", recorded)
    monkeypatch.setattr(snapshots, "REMEMBERED_TYPES", 2)
    await publish(broker, "h1")
    reader = SnapshotReader(broker)
    first = await reader.read(TYPE, heads=1)
    await publish(broker, "h2")
    assert sorted((await reader.read_state(TYPE)).hosts) == ["h1", "h2"]
    assert sorted((await reader.read(TYPE, heads=1)).snapshot.hosts) == ["h1", "h2"]
    assert known_states[:2] == [None, first.state]
    assert known_states[2] is not None
    for type_ in ("b", "c"):
        await reader.read_state(type_)
    assert len(reader._states) <= 2


# Windows


async def test_windows_cover_the_queue(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """From window to window each shape is shown, the first ones always, and none twice at once."""
    monkeypatch.setattr(snapshots, "FRONT_SHAPES", 2)
    monkeypatch.setattr(snapshots, "WINDOW_SHAPES", 3)
    for number in range(12):
        await queued(broker, f"d{number:02}", number + 1)
    shown, window = [], 2
    for _ in range(3):
        read = await read_snapshot(broker, TYPE, None, window)
        names = [shape.heads[0].request_id for shape in read.snapshot.waiting]
        assert names == sorted(set(names))
        assert names[:2] == ["d00", "d01"]
        shown += names
        window = read.next_window
    assert set(shown) == {f"d{number:02}" for number in range(11)}
    read = await read_snapshot(broker, TYPE, None, window)
    assert read.snapshot.waiting[-1].heads[0].request_id == "d11"
    assert read.next_window == 2


async def test_a_shape_beyond_the_window_is_included_with_when_it_was_passed(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The snapshot knows that the job was passed only if its shape is to be included."""
    monkeypatch.setattr(snapshots, "FRONT_SHAPES", 2)
    monkeypatch.setattr(snapshots, "WINDOW_SHAPES", 2)
    for number in range(9):
        await queued(broker, f"d{number}", number + 1)
    last = await broker.read(TYPE, "d8")
    await broker.note(TYPE, (), [head_of(last)])
    assert "d8" not in (await read_snapshot(broker, TYPE)).snapshot.passed
    assert "d8" in (await read_snapshot(broker, TYPE, include=[last.shape])).snapshot.passed


async def test_tables_are_kept_until_a_host_changes(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Snapshots without a change share the planner's tables; those of a few types are kept."""
    monkeypatch.setattr(snapshots, "REMEMBERED_HELD", 1)
    reader = SnapshotReader(broker)
    await publish(broker)

    async def tables(type_: str = TYPE) -> HostTables:
        read = await reader.read(type_, heads=1)
        return reader.tables(type_, read.snapshot.hosts)

    first = await tables()
    assert await tables() is first
    await publish(broker, VCPU=5)
    changed = await tables()
    assert changed is not first
    await tables("other")
    assert await tables() is not changed
