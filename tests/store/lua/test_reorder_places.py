"""reorder.lua with a place and a version of the line: it does what its caller saw, or nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import pytest
from redis.asyncio import Redis

from rq_broker.domain import errors
from rq_broker.domain.jobs import Status
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker, Moved
from rq_broker.store.keys import Keys
from tests.making import TYPE, array_submission, grant, publish, queue, shape, submit
from tests.store.lua.altering import altered

Happening = Callable[[Broker], Awaitable[object]]


async def _line(broker: Broker, names: str = "abcdef", gap: int = 100) -> None:
    for number, name in enumerate(names):
        await submit(broker, name, priority=number * gap)


async def _move(broker: Broker, place: int, line: str | None = None, name: str = "e") -> Moved:
    return await broker.reorder(TYPE, name, "place", str(place), line=line)


async def _preview(broker: Broker, place: int, name: str = "e") -> Moved:
    return await broker.reorder(TYPE, name, "place", str(place), dry_run=True)


@pytest.mark.parametrize("gap", [0, 1, 100])
async def test_a_job_goes_to_any_place_and_back(broker: Broker, client: Redis, gap: int) -> None:
    """A dry run tells the place and writes nothing; a move puts it there; its undo puts it back."""
    await _line(broker, "abcd", gap)
    for name in "abcd":
        for place in range(1, 6):
            rest = [other for other in "abcd" if other != name]
            told = await _preview(broker, place, name)
            assert await queue(broker) == list("abcd")
            moved = await _move(broker, place, told.line, name)
            expected = [*rest[: place - 1], name, *rest[place - 1 :]]
            assert await queue(broker) == expected
            assert (moved.position, moved.was) == (told.position, told.was)
            assert moved.position == expected.index(name) + 1
            assert moved.undo is not None
            assert moved.was is not None
            back = await _move(broker, moved.was, moved.undo, name)
            assert await queue(broker) == list("abcd")
            assert (back.was, back.position) == (moved.position, moved.was)
    assert await audit(client, TYPE) == []


OWN = ["x1", "a1", "x2", "a2", "a3", "x3", "a4"]


async def test_a_client_goes_to_a_place_among_its_own(broker: Broker, client: Redis) -> None:
    """A job takes the own place that it would have there; others stay; undo restores all."""
    for name in OWN:
        await submit(broker, name, owner_id=name[0])
    own = [name for name in OWN if name[0] == "a"]
    for name in own:
        for place in range(1, 9):
            rest = [other for other in OWN if other != name]
            index = sum(other in own for other in rest[: place - 1])
            others = [other for other in own if other != name]
            order = iter([*others[:index], name, *others[index:]])
            expected = [other if other[0] == "x" else next(order) for other in OWN]
            told = await broker.reorder(
                TYPE, name, "place", str(place), ["a"], among_own=True, dry_run=True
            )
            assert await queue(broker) == OWN
            moved = await broker.reorder(
                TYPE, name, "place", str(place), ["a"], among_own=True, line=told.line
            )
            assert await queue(broker) == expected, (name, place)
            assert (moved.position, moved.was) == (told.position, told.was)
            assert moved.position == expected.index(name) + 1
            by_place = {each.member.partition(":")[2]: each.by for each in told.exchanges}
            told_order = [by_place.get(other, f":{other}").partition(":")[2] for other in OWN]
            assert told_order == expected
            assert moved.was is not None
            await broker.reorder(
                TYPE, name, "place", str(moved.was), ["a"], among_own=True, line=moved.undo
            )
            assert await queue(broker) == OWN, (name, place)
    assert await audit(client, TYPE) == []


async def _granted(broker: Broker, name: str) -> None:
    await publish(broker)
    assert await grant(broker, await broker.read(TYPE, name), shape(owner="o"))


async def _requeued(broker: Broker, name: str) -> None:
    await _granted(broker, name)
    await broker.transition(TYPE, name, Status.QUEUED)


LEAVING: dict[str, tuple[Happening, str]] = {
    "nothing": (lambda broker: broker.now(TYPE), "aebcdf"),
    "one before is granted": (lambda broker: _granted(broker, "a"), "ebcdf"),
    "one before is withdrawn": (lambda broker: broker.withdraw(TYPE, "a"), "ebcdf"),
    "the next one is granted": (lambda broker: _granted(broker, "b"), "aecdf"),
    "the next one is withdrawn": (lambda broker: broker.withdraw(TYPE, "b"), "aecdf"),
    "one that is passed leaves": (lambda broker: broker.withdraw(TYPE, "c"), "aebdf"),
    "one behind leaves": (lambda broker: broker.withdraw(TYPE, "f"), "aebcd"),
    "one comes at the back": (lambda broker: submit(broker, "n"), "aebcdfn"),
    "one comes just behind": (lambda broker: submit(broker, "n", priority=401), "aebcdnf"),
    "one comes before": (lambda broker: submit(broker, "n", priority=-5), "naebcdf"),
    "many come behind": (
        lambda broker: broker.submit_array(TYPE, array_submission(2)), "aebcdfs[0]s[1]"
    ),
    "one that is passed goes behind": (
        lambda broker: broker.reorder(TYPE, "c", "position", "back"), "aebdfc",
    ),
    "one that is passed goes before": (
        lambda broker: broker.reorder(TYPE, "c", "position", "front"), "caebdf",
    ),
    "one before goes back in line": (lambda broker: _requeued(broker, "a"), "aebcdf"),
    "one that is passed holds longer": (
        lambda broker: broker.set_expected(TYPE, "c", 60), "aebcdf",
    ),
}  # fmt: skip
"""What happens between a preview and its move, and the line after the move."""


@pytest.mark.parametrize("happening", LEAVING)
async def test_what_delays_nobody_else_lets_a_move_through(
    broker: Broker, client: Redis, happening: str
) -> None:
    """The move of the fifth to place 2 lands before those that it was seen to pass."""
    happens, expected = LEAVING[happening]
    await _line(broker)
    seen = await _preview(broker, 2)
    await happens(broker)
    moved = await _move(broker, 2, seen.line)
    line = await queue(broker)
    assert "".join(line) == expected
    assert moved.position == line.index("e") + 1
    assert await audit(client, TYPE) == []


COMING: dict[str, Happening] = {
    "one comes in between": lambda broker: submit(broker, "n", priority=150),
    "an array comes in between": lambda broker: broker.submit_array(
        TYPE, array_submission(2, priority=150)
    ),
    "one from behind comes in between": lambda broker: broker.reorder(TYPE, "f", "before", "c"),
    "one from before comes in between": lambda broker: broker.reorder(TYPE, "a", "after", "c"),
    "one in between goes back in line": lambda broker: _requeued(broker, "c"),
    "the job itself is moved": lambda broker: broker.reorder(TYPE, "e", "before", "d"),
    "the job itself was away": lambda broker: _requeued(broker, "e"),
    "others exchange their places": lambda broker: broker.reorder(
        TYPE, "d", "position", "front", among_own=True
    ),
}


@pytest.mark.parametrize("happening", COMING)
async def test_what_changes_whom_a_move_delays_refuses_it(
    broker: Broker, client: Redis, happening: str
) -> None:
    """A job that came in between was not seen to be delayed: nothing is moved; seen anew, it is."""
    await _line(broker)
    seen = await _preview(broker, 2)
    await COMING[happening](broker)
    before = await queue(broker)
    with pytest.raises(errors.ChangedMeanwhile):
        await _move(broker, 2, seen.line)
    assert await queue(broker) == before
    anew = await _preview(broker, 2)
    assert (await _move(broker, 2, anew.line)).position == 2
    assert await audit(client, TYPE) == []


async def test_a_job_that_left_meanwhile_is_told_so(broker: Broker) -> None:
    """Neither a place nor a version hides that the job waits no longer, or is gone."""
    await _line(broker)
    seen = await _preview(broker, 2)
    await _granted(broker, "e")
    with pytest.raises(errors.NotWaiting, match="e is granted, not queued"):
        await _move(broker, 2, seen.line)
    await broker.withdraw(TYPE, "e")
    with pytest.raises(errors.JobNotFound):
        await _move(broker, 2, seen.line)


async def test_with_the_version_of_a_list_a_place_counts_those_before_it(broker: Broker) -> None:
    """Whoever left or came before the place makes it another one; whoever did behind does not."""
    happenings: tuple[tuple[Happening, bool], ...] = (
        *((partial(_granted, name=name), name != "f") for name in "abdf"),
        (lambda broker: submit(broker, "n", priority=-5), True),
        (lambda broker: submit(broker, "n", priority=450), False),
    )
    for happens, is_refused in happenings:
        await _line(broker)
        version = (await broker.page(TYPE, status="queued")).line
        await happens(broker)
        if is_refused:
            with pytest.raises(errors.ChangedMeanwhile):
                await _move(broker, 2, version)
        else:
            await _move(broker, 2, version)
            assert (await queue(broker))[:3] == ["a", "e", "b"]
        for job in (await broker.page(TYPE)).jobs:
            await broker.withdraw(TYPE, job.request_id)


async def test_ends_and_neighbours_go_by_the_version_of_a_list(broker: Broker) -> None:
    """Who came in between refuses front and neighbours; whoever goes to the back expects it."""
    await _line(broker)
    version = (await broker.page(TYPE, status="queued")).line
    await submit(broker, "n", priority=150)
    for mode, value in (("position", "front"), ("before", "b"), ("before", "n"), ("after", "n")):
        with pytest.raises(errors.ChangedMeanwhile):
            await broker.reorder(TYPE, "e", mode, value, line=version)
    await submit(broker, "z")
    await broker.reorder(TYPE, "e", "before", "d", line=version)
    await broker.reorder(TYPE, "d", "position", "back", line=version)
    assert "".join(await queue(broker)) == "abncefzd"


async def test_a_version_too_old_to_compare_is_refused(
    broker: Broker, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the events since are gone, or too many, or the text is none, nothing is moved."""
    altered(monkeypatch, "reorder", "MOST_EVENTS = 5000", "MOST_EVENTS = 3")
    await _line(broker)
    seen = await _preview(broker, 2)
    for name in "wxyz":
        await submit(broker, name)
    for line in (seen.line, "no version", "1-1.0", "1-1.0.2.5.c.0.0"):
        with pytest.raises(errors.ChangedMeanwhile):
            await _move(broker, 2, line)
    seen = await _preview(broker, 2)
    await client.delete(Keys(TYPE).of("events"))
    with pytest.raises(errors.ChangedMeanwhile):
        await _move(broker, 2, seen.line)
    assert (await queue(broker))[4] == "e"
