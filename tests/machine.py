"""What the state machine calls: the broker and its model, side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, TypeVar

from hypothesis.stateful import RuleBasedStateMachine
from redis.asyncio import Redis

from rq_broker.domain import errors
from rq_broker.domain.deliveries import Delivery
from rq_broker.store.broker import Broker
from rq_broker.store.connection import connect, in_memory
from tests.model import Model
from tests.strategies import TYPE

Answer = TypeVar("Answer")


class Caller(RuleBasedStateMachine):
    """Calls the broker and the model alike, on fakeredis unless there is a URL."""

    url: ClassVar[str] = ""

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.claimed: list[Delivery] = []
        self.loop = asyncio.Runner()
        self.client = self.loop.run(self._client())
        self.broker = Broker(self.client)
        self.type_state = self.run(self.broker.type_state(TYPE))
        self.number = 0

    async def _client(self) -> Redis:
        if not self.url:
            return in_memory()
        client = connect(self.url)
        assert isinstance(client, Redis)
        await client.flushall()
        return client

    def run(self, call: Coroutine[Any, Any, Answer]) -> Answer:
        """Run a call to its end; return its answer."""
        return self.loop.run(call)

    def both(self, call: Coroutine[Any, Any, Any], expected: Callable[[], Any]) -> tuple[Any, Any]:
        """Call the model and the broker; return the answers of broker and model.

        Both are None where both raise the same error. Fails where only one raises it.
        """
        try:
            expected_answer = expected()
        except errors.BrokerError as refusal:
            try:
                answer = self.run(call)
            except type(refusal):
                return None, None
            raise AssertionError(f"expected {refusal!r}, got {answer}") from refusal
        return self.run(call), expected_answer
