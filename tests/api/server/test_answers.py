"""AnswerWriter and AnswerCycle: how the parts of an answer reach the kernel."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from uvicorn.protocols.http.flow_control import FlowControl

from rq_broker.api.server.answers import AnswerCycle, AnswerWriter

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


def cycle_of(kernel: Kernel, answers: AnswerWriter) -> AnswerCycle:
    return AnswerCycle(
        answers=answers,
        scope={"type": "http", "method": "GET", "http_version": "1.1"},
        flow=FlowControl(kernel),
        logger=logging.getLogger("answers"),
        access_logger=logging.getLogger("answers"),
        access_log=False,
        default_headers=[],
        message_event=asyncio.Event(),
        expect_100_continue=False,
        keep_alive=True,
        on_response=lambda: kernel.writes.append(b"next"),
    )


def start(*headers: tuple[bytes, bytes]) -> dict[str, Any]:
    headers = ((b"content-length", b"2"), *headers)
    return {"type": "http.response.start", "status": 200, "headers": headers}


def body(content: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": content, "more_body": more}


async def test_a_whole_answer_is_one_write(kernel: Kernel, answers: AnswerWriter) -> None:
    """An answer of known length goes out at once, and then the next request has its turn."""
    cycle = cycle_of(kernel, answers)
    await cycle.send(start())
    await cycle.send(body(b"{}"))
    assert kernel.writes == [HEAD + b"{}", b"next"]
    assert cycle.response_complete


async def test_an_answer_in_pieces(kernel: Kernel, answers: AnswerWriter) -> None:
    """Of an answer of known length that comes in pieces each goes out as it comes."""
    cycle = cycle_of(kernel, answers)
    await cycle.send(start())
    await cycle.send(body(b"{", more=True))
    await cycle.send(body(b"}"))
    assert kernel.writes == [HEAD + b"{", b"}", b"next"]


async def test_no_header_makes_another(kernel: Kernel, answers: AnswerWriter) -> None:
    """A line break in a header's value is refused, and nothing of the answer is sent."""
    with pytest.raises(RuntimeError, match="header"):
        await cycle_of(kernel, answers).send(start((b"etag", b"a\r\nset-cookie: b")))
    assert kernel.writes == []


@pytest.mark.parametrize("message", [body(b"{"), body(b"{}}"), start()])
async def test_an_answer_that_is_not_as_it_began(
    kernel: Kernel, answers: AnswerWriter, message: dict[str, Any]
) -> None:
    """A body of another length than the head says, or a second head, is an error."""
    cycle = cycle_of(kernel, answers)
    await cycle.send(start())
    with pytest.raises(RuntimeError):
        await cycle.send(message)
    assert not cycle.response_complete
