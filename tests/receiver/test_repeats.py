"""What a process remembers of the messages that it took."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from rq_broker.receiver import InMemory, repeats
from rq_broker.receiver.repeats import UNDER_WAY


def test_a_message_is_new_once() -> None:
    """A repeat is answered like the first; one that was forgotten is new again."""
    memory = InMemory()
    assert memory.begin("a") is None
    assert memory.begin("a") == UNDER_WAY
    memory.end("a", 410)
    assert memory.begin("a") == 410
    assert memory.begin("b") is None
    memory.end("b", None)
    assert memory.begin("b") is None


def test_the_oldest_are_forgotten_first() -> None:
    """However many messages come, the memory holds as many as it was told to."""
    memory = InMemory(most=3)
    for number in range(10):
        assert memory.begin(str(number)) is None
        memory.end(str(number), 204)
    assert [memory.begin(str(number)) for number in (7, 8, 9)] == [204] * 3
    assert memory.begin("6") is None


def test_one_of_many_threads_takes_a_message() -> None:
    """Of repeats that come at once exactly one is new."""
    memory = InMemory()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(memory.begin, ["a"] * 200))
    assert answers.count(None) == 1


def test_what_was_cut_off_is_claimed_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message whose function never ended is new again after the lease; an answered one is not."""
    memory = InMemory()
    for name in ("cut", "done"):
        memory.begin(name)
    memory.end("done", 204)
    monkeypatch.setattr(repeats, "LEASE", -1.0)
    assert memory.begin("cut") is None
    assert memory.begin("done") == 204
