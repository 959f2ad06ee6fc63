"""A token that is revoked is refused by every API process within a second, also under load."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial

import httpx

from rq_broker.domain.identity import Role
from rq_broker.domain.tokens import NewToken
from rq_broker.identity import tokens
from rq_broker.store.broker import Broker
from rq_broker.store.connection import connect
from rq_broker.store.embedded import Server
from tests.processes import Child, Children, until

LOAD = 4
"""Requests under way at once at each process."""
ALLOWED_S = 1.0


@dataclass
class Seen:
    """What one process answered: when each request was sent, and the code that refused it."""

    answers: list[tuple[float, str]] = field(default_factory=list)

    def last_accepted(self) -> float:
        return max(sent for sent, code in self.answers if not code)

    def after(self, moment: float) -> set[str]:
        return {code for sent, code in self.answers if sent > moment}


async def _ask(api: httpx.AsyncClient, seen: Seen) -> None:
    """List jobs again and again, and note each answer."""
    while True:
        sent = time.monotonic()
        answer = await api.get("/v1/vm")
        seen.answers.append((sent, "" if answer.is_success else answer.json()["code"]))


async def _serves(api: Child) -> bool:
    async with httpx.AsyncClient(base_url=api.url) as plain:
        try:
            return (await plain.get("/healthz")).is_success
        except httpx.TransportError:
            return False


async def test_four_processes_refuse_a_revoked_token(store: Server, spawn: Children) -> None:
    """No request sent a second after the revocation is accepted by any of four busy processes."""
    apis = [spawn.api(store.url, "--tokens", "--rate-limit", "0") for _ in range(4)]
    async with aclosing(Broker(connect(store.url))) as broker:
        issued = await tokens.create(broker, NewToken(Role.VIEWER, "board"))
        headers = {"Authorization": f"Bearer {issued.secret}"}
        for api in apis:
            await until(partial(_serves, api), f"{api.url} to serve")
        seen = [Seen() for _ in apis]
        clients = [httpx.AsyncClient(base_url=api.url, headers=headers) for api in apis]
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(_ask(client, of_one))
                for client, of_one in zip(clients, seen, strict=True)
                for _ in range(LOAD)
            ]

            async def are_accepted() -> bool:
                return all(of_one.answers for of_one in seen)

            await until(are_accepted, "every process to accept the token")
            await broker.revoke_token("board")
            revoked = time.monotonic()

            async def have_refused() -> bool:
                return all(of_one.after(revoked + ALLOWED_S) for of_one in seen)

            await until(have_refused, "every process to answer a second after the revocation")
            for task in tasks:
                task.cancel()
        for client in clients:
            await client.aclose()
    for of_one in seen:
        assert of_one.after(revoked + ALLOWED_S) == {"token_revoked"}
        first_refused = min(sent for sent, code in of_one.answers if code)
        accepted, refused = of_one.last_accepted() - revoked, first_refused - revoked
        print(f"last accepted at {accepted:+.3f} s, first refused at {refused:+.3f} s")
