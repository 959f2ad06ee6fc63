"""AnswerWriter: how the parts of an answer reach the kernel."""

from __future__ import annotations

import asyncio

import pytest

from rq_broker.api.server.answers import AnswerWriter

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"


class Kernel(asyncio.Transport):
    """Keeps each write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = list[bytes]()
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed
        self.writes.append(bytes(data))

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


@pytest.fixture
async def kernel() -> Kernel:
    return Kernel()


@pytest.fixture
async def answers(kernel: Kernel) -> AnswerWriter:
    return AnswerWriter(kernel, asyncio.get_running_loop())


async def test_a_head_and_its_body_are_one_write(kernel: Kernel, answers: AnswerWriter) -> None:
    """An answer costs one system call, and what follows goes out as it comes."""
    answers.write(HEAD)
    assert kernel.writes == []
    answers.write(b"{}")
    answers.write(b"more")
    await asyncio.sleep(0)
    assert kernel.writes == [HEAD + b"{}", b"more"]


async def test_an_empty_body_ends_the_wait(kernel: Kernel, answers: AnswerWriter) -> None:
    """An answer without a body goes out as soon as that is known."""
    answers.write(HEAD)
    answers.write(b"")
    assert kernel.writes == [HEAD]


async def test_a_head_waits_for_no_event(kernel: Kernel, answers: AnswerWriter) -> None:
    """The head of a stream whose first event comes later goes out in this turn of the loop."""
    answers.write(HEAD)
    await asyncio.sleep(0)
    assert kernel.writes == [HEAD]


async def test_closing_sends_the_head(kernel: Kernel, answers: AnswerWriter) -> None:
    """A connection that is closed behind a head sends it first; a lost one sends nothing."""
    answers.write(HEAD)
    answers.close()
    assert (kernel.writes, kernel.closed, answers.is_closing()) == ([HEAD], True, True)
    answers.write(HEAD)
    await asyncio.sleep(0)
    assert kernel.writes == [HEAD]
