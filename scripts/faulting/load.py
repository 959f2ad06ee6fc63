"""The load under which faults strike: submits over HTTP and from direct clients, and receivers."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import aiohttp

from faulting.ledger import Ledger
from faulting.listener import Listener
from rq_broker.api.submit import submission
from rq_broker.domain.errors import BrokerError, DuplicateRequestId
from rq_broker.store.broker import Broker

TYPE = "vm"
ONE_VCPU = {"VCPU": 1}
HOLD_SECONDS = 0.05
"""How long a receiver uses its capacity, on average."""
ANSWER_SECONDS = 5.0
"""After this long without an answer a client gives a call up."""
RETRY_SECONDS = 0.2
"""Between two attempts to release capacity."""


class Load:
    """Clients and receivers of one run."""

    def __init__(
        self,
        api: str,
        broker: Broker,
        ledger: Ledger,
        *,
        rate: float,
        needs: Mapping[str, int] = ONE_VCPU,
    ) -> None:
        """Make the clients and receivers of one broker.

        Args:
            api: its URL.
            broker: submits directly.
            ledger: notes what they see.
            rate: submits a second over HTTP; half as many come from direct clients.
            needs: what each job needs.
        """
        self._needs = needs
        self._api = api
        self._broker = broker
        self._ledger = ledger
        self._rate = rate
        self._sink = Listener(self._receive)
        self._port = 0
        self._session: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._count = 0
        self._stopped = False

    async def start(self) -> None:
        """Begin to receive and to submit."""
        self._port = await self._sink.start()
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        self._session = aiohttp.ClientSession(timeout=timeout)
        self._begin(self._submit_at(self._rate, self._submit_over_http))
        self._begin(self._submit_at(self._rate / 2, self._submit_directly))

    def stop_submits(self) -> None:
        """Submit no more; capacity is still received and released."""
        self._stopped = True

    async def stop(self) -> None:
        """End everything; the receiver first, as each callback begins a task."""
        await self._sink.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session:
            await self._session.close()

    def _begin(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _submit_at(self, rate: float, submit: Any) -> None:
        """Submit at a steady rate, whatever the answers: each call is a task of its own."""
        while not self._stopped:
            self._count += 1
            self._begin(submit(f"job-{self._count:07d}"))
            await asyncio.sleep(random.expovariate(rate))

    def _body(self, request_id: str) -> dict[str, Any]:
        return {
            "request_id": request_id,
            "owner_id": "o",
            "data": {"instances": [self._needs]},
            "callback": f"http://127.0.0.1:{self._port}/{request_id}",
        }

    async def _submit_over_http(self, request_id: str) -> None:
        assert self._session
        self._ledger.submitted[request_id] = time.monotonic()
        url = f"{self._api}/v1/{TYPE}/"
        try:
            async with self._session.post(url, json=self._body(request_id)) as response:
                answer = await response.json()
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            self._ledger.answers[type(error).__name__] += 1
            return
        self._note(request_id, answer.get("code", "created"))

    async def _submit_directly(self, request_id: str) -> None:
        self._ledger.submitted[request_id] = time.monotonic()
        try:
            await self._broker.submit(TYPE, submission(self._body(request_id)))
        except DuplicateRequestId:
            self._note(request_id, "duplicate_request_id")
        except BrokerError as error:
            self._note(request_id, error.code)
        else:
            self._note(request_id, "created")

    def _note(self, request_id: str, code: str) -> None:
        self._ledger.answers[code] += 1
        if code == "created":
            self._ledger.acknowledged[request_id] = time.monotonic()
        self._ledger.own_duplicates += code == "duplicate_request_id"

    async def _receive(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
            body = await reader.readexactly(int(fields["content-length"]))
            self._grant(fields["webhook-id"], json.loads(body)["data"])
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()

    def _grant(self, webhook_id: str, job: Mapping[str, Any]) -> None:
        device = ""
        if self._ledger.of_device:
            ((resource, (number,)),) = job["Devices"][0].items()
            device = f"{job['Hosts'][0]}/{resource}/{number}"
        if self._ledger.call(webhook_id, job["RequestID"], time.monotonic(), device):
            self._begin(self._use(job))

    async def _use(self, job: Mapping[str, Any]) -> None:
        """Use the capacity for a while, then call the job done until the broker has heard it."""
        assert self._session
        await asyncio.sleep(random.expovariate(1 / HOLD_SECONDS))
        self._ledger.release(job["RequestID"])
        url = f"{self._api}/v1/{TYPE}/{job['RequestID']}"
        change = {"status": "done", "fence": job["Fence"]}
        while True:
            with suppress(aiohttp.ClientError, TimeoutError):
                async with self._session.post(url, json=change) as response:
                    if response.status == 200:
                        self._ledger.ended[job["RequestID"]] = time.monotonic()
                    if response.status in (200, 404, 409):
                        return
            await asyncio.sleep(RETRY_SECONDS)
