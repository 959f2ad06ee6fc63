"""What the state machine calls: the broker and its model, side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, TypeVar

from hypothesis.stateful import RuleBasedStateMachine
from msgspec.structs import replace
from redis.asyncio import Redis

from rq_broker.domain import errors
from rq_broker.domain.deliveries import Delivery
from rq_broker.domain.names import owned_name
from rq_broker.domain.terms import Terms
from rq_broker.store.broker import Broker
from rq_broker.store.connection import connect, in_memory
from tests.model import Model
from tests.strategies import ARRAY, OWNED, TYPE

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
        self.per_owner = False
        """Whether names are per owner."""

    async def _client(self) -> Redis:
        if not self.url:
            return in_memory()
        client = connect(self.url)
        assert isinstance(client, Redis)
        await client.flushall()
        return client

    def named(self, name: str, owner: str) -> tuple[str, str]:
        """Return the owner and the request_id that stand for a name that was drawn."""
        return OWNED[name] if self.per_owner and name in OWNED else (owner, name)

    def stored(self, name: str) -> str:
        """Return the name by which the type knows the job of a name that was drawn."""
        return owned_name(*OWNED[name]) if self.per_owner and name in OWNED else name

    def asked(self, name: str) -> tuple[str, list[str] | None]:
        """Return a drawn name as its client calls it, and for which owners it may ask."""
        owner, request_id = self.named(name, "")
        return request_id, [owner] if owner else None

    def array_name(self, owner: str) -> str:
        """Return the name by which the type knows the array of an owner."""
        return owned_name(owner, ARRAY) if self.per_owner else ARRAY

    def place(self, to: tuple[str, str]) -> tuple[str, str]:
        """Return a place with its neighbour as the type knows it."""
        return to[0], self.stored(to[1])

    def terms(self, drawn: Terms, owner: str, but: str = "") -> tuple[Terms, Terms]:
        """Return drawn terms of a job as its client and as the type names those it waits for."""
        names = [name for name in drawn.after if self.stored(name) != but]
        if self.per_owner:
            names = [name for name in names if OWNED[name][0] == owner]
        own = tuple(self.named(name, "")[1] for name in names)
        awaited = tuple(map(self.stored, names))
        return replace(drawn, after=own), replace(drawn, after=awaited)

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
