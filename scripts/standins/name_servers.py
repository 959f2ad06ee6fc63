"""Name servers on loopback, and a resolver that needs none."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_address

Answers = Callable[[str], Iterable[str] | None]
"""Name → its addresses; no address: there is no such name; None: no answer at all."""


class NameServer:
    """Answers A and AAAA look-ups with a time to live of zero, so that nobody caches them."""

    def __init__(self, ipv4: Answers, ipv6: Answers) -> None:
        self.ipv4 = ipv4
        self.ipv6 = ipv6
        self.looked_up: list[str] = []
        """The name of every A look-up."""
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.bind(("127.0.0.1", 0))

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.socket.getsockname()[1]}"

    def drain(self) -> None:
        """Answer every query that has arrived: with one at a time, a burst overflows the socket."""
        with suppress(BlockingIOError):
            while True:
                self._answer(*self.socket.recvfrom(4096))

    def _answer(self, data: bytes, sender: tuple[str, int]) -> None:
        labels, offset = [], 12
        while length := data[offset]:
            labels.append(data[offset + 1 : offset + 1 + length].decode())
            offset += length + 1
        question, type_ = data[12 : offset + 5], data[offset + 2]
        name = ".".join(labels)
        if type_ == 1:
            self.looked_up.append(name)
        addresses = self.ipv4(name) if type_ == 1 else self.ipv6(name)
        if addresses is not None:
            packed = [ip_address(text).packed for text in addresses]
            self.socket.sendto(_response(data[:2], question, type_, packed), sender)


def _response(id_: bytes, question: bytes, type_: int, packed: list[bytes]) -> bytes:
    of_type = [raw for raw in packed if len(raw) == (4 if type_ == 1 else 16)]
    head = id_ + struct.pack(">HHHHH", 0x8180, 1, len(of_type), 0, 0)
    records = (struct.pack(">HHHIH", 0xC00C, type_, 1, 0, len(raw)) + raw for raw in of_type)
    return head + question + b"".join(records)


@asynccontextmanager
async def name_server(ipv4: Answers, ipv6: Answers = lambda _: ()) -> AsyncIterator[NameServer]:
    """Run a name server on a free loopback port; without `ipv6` no name has an IPv6 address."""
    loop, server = asyncio.get_running_loop(), NameServer(ipv4, ipv6)
    loop.add_reader(server.socket, server.drain)
    try:
        yield server
    finally:
        loop.remove_reader(server.socket)
        server.socket.close()


class StaticResolver:
    """Resolves every name to the same addresses, and keeps the names it was asked for."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.looked_up: list[str] = []

    async def resolve(self, host: str) -> Sequence[str]:
        self.looked_up.append(host)
        return self.addresses

    async def close(self) -> None:
        pass
