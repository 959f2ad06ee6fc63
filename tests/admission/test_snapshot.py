"""What a pass sees of a type, and what a waiting job is told, on both stores."""

from __future__ import annotations

from typing import Any

import pytest

from rq_broker.admission import snapshot as snapshots
from rq_broker.admission.snapshot import SnapshotReader, read_snapshot
from rq_broker.domain.jobs import Status
from rq_broker.store.broker import Broker, View
from tests.asking import reason
from tests.making import TYPE, bring, head_of, publish, shape, submit


async def _want(broker: Broker, request_id: str, vcpu: int, **more: Any) -> None:
    wanted = shape({"VCPU": vcpu}, **more)
    await submit(broker, request_id, shape=wanted, owner_id=wanted.owner)


async def _reason(broker: Broker, request_id: str) -> str:
    return await reason(broker, await broker.read(TYPE, request_id)) or ""


# The picture


async def test_the_picture_of_an_empty_type_is_empty(broker: Broker) -> None:
    """A type nobody ever used has no hosts and nobody waiting."""
    seen = (await read_snapshot(broker, TYPE)).snapshot
    assert (dict(seen.hosts), seen.waiting) == ({}, ())


async def test_the_picture_shows_shapes_in_order_with_their_first_jobs(broker: Broker) -> None:
    """Shapes come by their first job, each with its heads, its count, and Redis's own time."""
    await publish(broker)
    for request_id, amount in (("a", 2), ("b", 1), ("c", 2), ("d", 2)):
        await _want(broker, request_id, amount)
    before = await broker.now()
    seen = (await read_snapshot(broker, TYPE, heads=2)).snapshot
    heads = [[head.request_id for head in each.heads] for each in seen.waiting]
    assert heads == [["a", "c"], ["b"]]
    assert [each.count for each in seen.waiting] == [3, 1]
    assert list(seen.hosts) == ["h1"]
    assert before <= seen.now <= await broker.now()


async def test_a_known_picture_brings_only_changes_and_misses_none(broker: Broker) -> None:
    """Reading on from an earlier view sees hosts published, changed and dropped since."""
    await publish(broker, "h1")
    await publish(broker, "h2")
    first = await read_snapshot(broker, TYPE)
    await publish(broker, "h1", VCPU=1)
    await publish(broker, "h3")
    await broker.drop_host(TYPE, "h2")
    seen = await read_snapshot(broker, TYPE, first.view)
    assert sorted(seen.view.hosts) == ["h1", "h3"]
    assert seen.view.hosts["h1"].capacity == {"VCPU": 1}
    assert sorted(first.view.hosts) == ["h1", "h2"]


@pytest.mark.parametrize("policy", [{"share": "owner"}, {"limits": {"*": {"VCPU": 9}}}])
async def test_what_owners_hold_is_read_once_the_policy_asks_for_it(
    broker: Broker, policy: dict[str, Any]
) -> None:
    """A policy that begins to share or limit finds usage filled in the very same picture."""
    await bring(broker, Status.GRANTED)
    first = await read_snapshot(broker, TYPE)
    second = await read_snapshot(broker, TYPE, first.view)
    await broker.set_policy(TYPE, policy)
    third = await read_snapshot(broker, TYPE, second.view)
    fourth = await read_snapshot(broker, TYPE, third.view)
    assert third.snapshot.usage == fourth.snapshot.usage == {"o": {"VCPU": 1}}


async def test_windows_tile_the_line(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """From window to window every shape is shown, the first ones always, and none twice at once."""
    monkeypatch.setattr(snapshots, "FRONT_SHAPES", 2)
    monkeypatch.setattr(snapshots, "WINDOW_SHAPES", 3)
    for number in range(12):
        await _want(broker, f"d{number:02}", number + 1)
    shown, window = [], 2
    for _ in range(3):
        seen = await read_snapshot(broker, TYPE, None, window)
        names = [each.heads[0].request_id for each in seen.snapshot.waiting]
        assert names == sorted(set(names))
        assert names[:2] == ["d00", "d01"]
        shown += names
        window = seen.next_window
    assert set(shown) == {f"d{number:02}" for number in range(11)}
    seen = await read_snapshot(broker, TYPE, None, window)
    assert seen.snapshot.waiting[-1].heads[0].request_id == "d11"
    assert seen.next_window == 2


async def test_an_outlook_reads_only_what_changed(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From its second look on a process is sent the hosts that changed, and forgets no others."""
    sent, view = list[object](), broker.view

    async def noted(type_: str, known: View | None = None, *, usage: bool = False) -> View:
        sent.append(known)
        return await view(type_, known, usage=usage)

    monkeypatch.setattr(broker, "view", noted)
    monkeypatch.setattr(snapshots, "REMEMBERED_TYPES", 2)
    await publish(broker, "h1")
    here = SnapshotReader(broker)
    first = await here.read(TYPE, heads=1)
    await publish(broker, "h2")
    assert sorted(await here.read_hosts(TYPE)) == ["h1", "h2"]
    assert sorted((await here.read(TYPE, heads=1)).snapshot.hosts) == ["h1", "h2"]
    assert sent[:2] == [None, first.view]
    assert sent[2] is not None
    for type_ in ("b", "c"):
        await here.read_hosts(type_)
    assert len(here._views) <= 2


@pytest.mark.parametrize("depth", [0, 3, 9])
async def test_a_picture_shows_more_of_the_shapes_it_is_about(broker: Broker, depth: int) -> None:
    """Only these are shown as deep as was asked; the rest as every one is."""
    for number in range(5):
        await _want(broker, f"a{number}", 1)
        await _want(broker, f"b{number}", 2)
    about = (await broker.read(TYPE, "a0")).shape
    seen = (
        await read_snapshot(broker, TYPE, heads=2, include=[about, "gone"], include_heads=depth)
    ).snapshot
    shown = [[head.request_id for head in each.heads] for each in seen.waiting]
    assert shown == [[f"a{n}" for n in range(min(max(depth, 2), 5))], ["b0", "b1"]]
    assert [each.count for each in seen.waiting] == [5, 5]


async def test_a_shape_beyond_the_window_comes_with_when_it_was_passed(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job looked for on purpose is known to have been passed, wherever it waits."""
    monkeypatch.setattr(snapshots, "FRONT_SHAPES", 2)
    monkeypatch.setattr(snapshots, "WINDOW_SHAPES", 2)
    for number in range(9):
        await _want(broker, f"d{number}", number + 1)
    last = await broker.read(TYPE, "d8")
    await broker.note(TYPE, None, [head_of(last)])
    assert "d8" not in (await read_snapshot(broker, TYPE)).snapshot.passed
    assert "d8" in (await read_snapshot(broker, TYPE, include=[last.shape])).snapshot.passed


# Reasons


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.QUEUED])
async def test_jobs_that_do_not_wait_have_no_reason(broker: Broker, status: Status) -> None:
    """Only a queued job waits for something."""
    job = await bring(broker, status)
    assert await reason(broker, job) is None


async def test_a_reason_names_what_is_missing_and_where(broker: Broker) -> None:
    """It says the resource, the amount, the aggregate, and the host that comes closest."""
    await publish(broker, "h1", VCPU=8)
    await _want(broker, "holder", 6)
    planned = (await broker.read(TYPE, "holder")).request_id
    assert await _reason(broker, planned) == "it fits, and is about to be granted"
    await publish(broker, "h2", VCPU=4)
    await _want(broker, "big", 7, aggregate="a")
    text = await _reason(broker, "big")
    assert text == "needs VCPU 7 on one host of aggregate a; the most free is 4 on h2"


async def test_a_reason_says_when_no_host_could_ever_hold_it(broker: Broker) -> None:
    """What is beyond every host's capacity is said to be, not left to hope."""
    await publish(broker, VCPU=8)
    await _want(broker, "huge", 9)
    assert "could ever hold this" in await _reason(broker, "huge")
    await _want(broker, "lost", 1, aggregate="nowhere")
    assert await _reason(broker, "lost") == "there is no host of aggregate nowhere"


async def test_a_reason_says_that_grants_are_paused(broker: Broker) -> None:
    """An operator's pause is the reason of everybody."""
    await publish(broker)
    await _want(broker, "d", 1)
    await broker.set_policy(TYPE, {"paused": True})
    assert "paused" in await _reason(broker, "d")


async def test_a_reason_names_the_owners_limit(broker: Broker) -> None:
    """A job that waits for its own owner is told so."""
    await publish(broker)
    await broker.set_policy(TYPE, {"limits": {"lab": {"VCPU": 2}}})
    await _want(broker, "d", 3, owner="lab")
    assert "its owner lab may hold 2" in await _reason(broker, "d")


async def test_a_job_behind_others_of_its_shape_is_told_what_they_wait_for(
    broker: Broker,
) -> None:
    """Jobs of one shape wait for the same thing, wherever they stand."""
    await publish(broker, VCPU=1)
    for request_id in "abc":
        await _want(broker, request_id, 2)
    assert len({await _reason(broker, request_id) for request_id in "abc"}) == 1


async def test_a_job_beyond_the_window_is_not_told_a_tale(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job whose shape the picture does not show is alone in its shape; the reason knows."""
    monkeypatch.setattr(snapshots, "FRONT_SHAPES", 2)
    monkeypatch.setattr(snapshots, "WINDOW_SHAPES", 3)
    await publish(broker, VCPU=1)
    for number in range(9):
        await _want(broker, f"d{number}", number + 2)
    assert "same shape" not in await _reason(broker, "d8")
