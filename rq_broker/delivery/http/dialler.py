"""Dials receivers: from a destination to a connection, past the egress rules and never around them.

Names are resolved by c-ares, not by getaddrinfo: a look-up is then a datagram and a timer instead
of a thread that hangs, so a thousand dead names wait side by side and delay nobody. The egress
rules are asked for every answer of a name, and again by the socket factory for the very address
dialled, literals included; a kept connection therefore leads to an address that was judged.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from ipaddress import ip_address
from typing import Any, Protocol

import aiodns
from aiodns.error import ARES_ENODATA, DNSError
from aiohappyeyeballs import start_connection

from rq_broker.delivery.http.connection import Connection
from rq_broker.egress.rules import Egress

_NEXT_ADDRESS_S = 0.25
"""After so long without an answer a name's next address is tried as well (RFC 8305)."""
_MOST_ADDRESSES = 16
"""Of a name, so many are dialled at most: a name server may answer with thousands."""


class Forbidden(OSError):
    """The address may not be dialled."""


class Resolver(Protocol):
    """What is needed of a name server's client."""

    async def resolve(self, host: str) -> Sequence[str]:
        """Look all addresses of a name up; raises aiodns.error.DNSError."""
        ...

    async def close(self) -> None:
        """Give up what is under way."""
        ...


class Cares:
    """A resolver by c-ares, which asks the system's name servers unless others are given."""

    def __init__(self, timeout_s: float, nameservers: Sequence[str] | None = None) -> None:
        # A look-up outlives a caller that timed out; three tries, each twice as long as the one
        # before, end it soon after.
        self._resolver = aiodns.DNSResolver(nameservers, timeout=timeout_s / 4, tries=3)

    async def resolve(self, host: str) -> Sequence[str]:
        """Look all addresses of a name up; raises aiodns.error.DNSError."""
        found = await self._resolver.getaddrinfo(
            host, family=socket.AF_UNSPEC, type=socket.SOCK_STREAM
        )
        return [node.addr[0].decode() for node in found.nodes]

    async def close(self) -> None:
        """Give up what is under way."""
        await self._resolver.close()


class Dialler:
    """Makes connections, within the egress rules."""

    def __init__(self, egress: Egress, names: Resolver, tls: ssl.SSLContext) -> None:
        self._egress = egress
        self._names = names
        self._tls = tls

    async def dial(self, destination: str) -> Connection:
        """Connect to `scheme://host:port`; raises Forbidden, DNSError, SSLError or OSError."""
        scheme, _, authority = destination.partition("://")
        host, _, port = authority.rpartition(":")
        host = host.strip("[]")
        found = await self._socket(host, int(port))
        secured = scheme == "https"
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                Connection,
                sock=found,
                ssl=self._tls if secured else None,
                server_hostname=host if secured else None,
            )
        except BaseException:
            # The transport closes the socket, though once TLS was agreed on not before the receiver
            # took leave, unless it reads an end. Were the socket closed here, the transport would
            # go on with a descriptor that is soon another's.
            with suppress(OSError):
                found.shutdown(socket.SHUT_RDWR)
            raise
        return connection

    async def _socket(self, host: str, port: int) -> socket.socket:
        name, addresses = host, [host]
        try:
            ip_address(host)
        except ValueError:
            addresses = list(dict.fromkeys(await self._names.resolve(host)))
            if not addresses:
                raise DNSError(ARES_ENODATA, "a name without an address") from None
        else:
            name = ""
        for address in addresses:
            self._check(address, port, name)
        return await start_connection(
            [_info(address, port) for address in addresses[:_MOST_ADDRESSES]],
            happy_eyeballs_delay=_NEXT_ADDRESS_S,
            socket_factory=partial(self._make_socket, name),
        )

    def _make_socket(self, name: str, info: Any) -> socket.socket:
        """Make the socket for one (family, type, proto, canonical name, address), if allowed."""
        family, type_, proto, _, (address, port, *_) = info
        self._check(address, port, name)
        return socket.socket(family, type_, proto)

    def _check(self, address: str, port: int, name: str) -> None:
        parsed = ip_address(address)
        if not self._egress.check(parsed, port, name).allowed:
            raise Forbidden("forbidden address")
        if port in self._egress.wildcard_ports and _is_local(address, parsed.version):
            raise Forbidden("forbidden address")

    async def close(self) -> None:
        """Close the resolver."""
        await self._names.close()


def _info(address: str, port: int) -> tuple[Any, ...]:
    six = ":" in address
    family = socket.AF_INET6 if six else socket.AF_INET
    place = (address, port, 0, 0) if six else (address, port)
    return family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", place


def _is_local(address: str, version: int) -> bool:
    """Is it an address of this machine? Only those can be bound."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True
