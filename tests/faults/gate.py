"""A proxy before an API that holds some requests back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from faulting.listener import listening

from tests.processes import Child


class Gate:
    """Passes on what clients and the API say, but holds back requests that contain a word."""

    def __init__(self, api: Child, word: bytes) -> None:
        self._api = int(api.url.rpartition(":")[2])
        self._word = word
        self.reached, self.is_open = asyncio.Event(), asyncio.Event()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Serve meanwhile; yield the URL."""
        async with listening(self._pass) as port:
            yield f"http://127.0.0.1:{port}"

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, requests = await asyncio.open_connection("127.0.0.1", self._api)
        try:
            await asyncio.gather(self._forth(reader, requests), _back(answers, writer))
        finally:
            requests.close()

    async def _forth(self, reader: asyncio.StreamReader, requests: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if self._word in data:
                self.reached.set()
                await self.is_open.wait()
            requests.write(data)
        requests.close()


async def _back(answers: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await answers.read(65536):
        writer.write(data)
    writer.close()
