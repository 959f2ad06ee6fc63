"""Dials receivers within the egress rules: from a destination to an open connection.

Names are resolved by c-ares instead of getaddrinfo: a look-up then costs a datagram and a timer,
not a thread, so a thousand dead names delay nobody. Every address of a name is checked, and the
socket factory checks the address it dials once more, literals included: a connection in the pool
therefore always leads to an address that the rules allow.
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
from aiodns.error import DNSError
from aiohappyeyeballs import start_connection

from rq_broker.delivery.http.connection import Connection
from rq_broker.delivery.http.errors import ForbiddenAddress, NameLookupFailed
from rq_broker.delivery.http.tls_sessions import TlsSessions
from rq_broker.egress.networks import Address
from rq_broker.egress.rules import Egress

_NEXT_ADDRESS_S = 0.25
"""Seconds after which a name's next address is dialled as well; RFC 8305 recommends 0.1 to 2. A
shorter time dials distant receivers twice; a longer one lets a dead address delay callbacks."""
_MAX_ADDRESSES = 16
"""Addresses of one name that are dialled. A name server may answer with thousands, and without a
limit one callback would scan a network."""
_LOOKUP_TRIES = 3
"""Queries to a name server for one name. They wait at most ¼, ½ and 1 of an attempt's timeout, so
that a look-up whose attempt has timed out ends soon after it."""


class Resolver(Protocol):
    """What the dialler needs of a name server's client."""

    async def resolve(self, host: str) -> Sequence[str]:
        """Return all addresses of a name. Raises NameLookupFailed."""
        ...

    async def close(self) -> None:
        """Cancel the look-ups in flight."""
        ...


class CaresResolver:
    """A resolver by c-ares, which asks the system's name servers unless others are given."""

    def __init__(self, timeout_s: float, nameservers: Sequence[str] | None = None) -> None:
        self._cares = aiodns.DNSResolver(nameservers, timeout=timeout_s / 4, tries=_LOOKUP_TRIES)

    async def resolve(self, host: str) -> Sequence[str]:
        """Return all addresses of a name. Raises NameLookupFailed."""
        try:
            answer = await self._cares.getaddrinfo(
                host, family=socket.AF_UNSPEC, type=socket.SOCK_STREAM
            )
        except DNSError as error:
            raise NameLookupFailed(str(error)) from None
        return [node.addr[0].decode() for node in answer.nodes]

    async def close(self) -> None:
        """Cancel the look-ups in flight."""
        await self._cares.close()


class Dialler:
    """Opens connections within the egress rules."""

    def __init__(self, egress: Egress, resolver: Resolver, tls: ssl.SSLContext) -> None:
        self._egress = egress
        self._resolver = resolver
        self._tls = tls
        self._sessions = TlsSessions(tls)

    async def dial(self, destination: str) -> Connection:
        """Connect to `scheme://host:port`.

        Raises ForbiddenAddress, NameLookupFailed, ssl.SSLError or another OSError.
        """
        scheme, _, authority = destination.partition("://")
        bracketed_host, _, port = authority.rpartition(":")
        host = bracketed_host.strip("[]")
        connected = await self._connect(host, int(port))
        is_tls = scheme == "https"
        if is_tls:
            self._sessions.offer(destination)
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: Connection(partial(self._sessions.keep, destination)),
                sock=connected,
                ssl=self._tls if is_tls else None,
                server_hostname=host if is_tls else None,
            )
        except BaseException:
            # The transport closes the socket, but during TLS only once the receiver closes its side
            # or the stream ends, so end the stream. Closing the socket here would leave the
            # transport with a descriptor that soon belongs to another socket.
            self._sessions.forget(destination)
            with suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)
            raise
        return connection

    async def _connect(self, host: str, port: int) -> socket.socket:
        # 1. Find the addresses: the literal itself, or all that the name resolves to.
        name, addresses = await self._addresses(host)
        # 2. Check all of them: one forbidden address makes the whole name forbidden.
        for address in addresses:
            self._check(address, port, name)
        # 3. Dial them in turn; the first that connects wins (RFC 8305).
        return await start_connection(
            [_address_info(address, port) for address in addresses[:_MAX_ADDRESSES]],
            happy_eyeballs_delay=_NEXT_ADDRESS_S,
            socket_factory=partial(self._make_socket, name),
        )

    async def _addresses(self, host: str) -> tuple[str, list[str]]:
        """Return the name to check the rules with ('' for a literal) and the distinct addresses."""
        if _is_literal(host):
            return "", [host]
        addresses = list(dict.fromkeys(await self._resolver.resolve(host)))
        if not addresses:
            raise NameLookupFailed("the name has no address")
        return host, addresses

    def _make_socket(self, name: str, info: Any) -> socket.socket:
        """Make a socket for (family, type, proto, canonical name, address) if it is allowed."""
        family, type_, proto, _, (address, port, *_) = info
        self._check(address, port, name)
        return socket.socket(family, type_, proto)

    def _check(self, text: str, port: int, name: str) -> None:
        address = ip_address(text)
        if not self._egress.check(address, port, name).allowed:
            raise ForbiddenAddress("the egress rules forbid this address")
        if port in self._egress.wildcard_ports and _is_local(address):
            raise ForbiddenAddress("the broker itself listens there")

    async def close(self) -> None:
        """Close the resolver."""
        await self._resolver.close()


def _is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _address_info(address: str, port: int) -> tuple[Any, ...]:
    """Build what getaddrinfo would return for one address."""
    is_ipv6 = ":" in address
    family = socket.AF_INET6 if is_ipv6 else socket.AF_INET
    socket_address = (address, port, 0, 0) if is_ipv6 else (address, port)
    return family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", socket_address


def _is_local(address: Address) -> bool:
    """Whether an address is one of this machine's: only those can be bound."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
    return True
