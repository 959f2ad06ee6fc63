"""What one client may take from the server: bytes of a head, seconds, connections."""

from __future__ import annotations

from dataclasses import dataclass

from rq_broker.domain.errors import Invalid

HEAD_BYTES = 64 * 1024
"""Most bytes of a request's URL and headers, or of a chunked body's framing between two pieces of
it. Parsing 64 KiB takes about a millisecond; one header of 150 MB blocked the process for a
minute."""
URL_BYTES = 16 * 1024
"""Most bytes of a URL. The longest names, percent-encoded, make one of about 10 KiB."""
HEAD_SECONDS = 10.0
"""How long a client may take to send a request's head, counted from its first byte, or from the
start of the connection."""
BODY_SECONDS = 30.0
"""How long a client may take to send a body. The largest, 1 MiB, needs 35 KB/s."""
WRITE_SECONDS = 30.0
"""How long a client may read nothing of an answer that waits for it."""
LINGER_SECONDS = 2.0
"""How long what a refused client still sends is read and dropped, so that the refusal reaches it.
Closing a connection with unread bytes resets it, and the client may lose the answer."""
PIPELINED = 256
"""Most requests of one connection that wait for the answers before them. Clients that pipeline
send a few; without the bound a connection could fill the memory with them."""

_LEAST_RESERVE, _MOST_RESERVE = 32, 2048


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Most connections that a process serves at once, and what is kept beside them."""

    total: int
    per_address: int
    """Most connections of one client address; an IPv6 address counts as its /64 network."""
    reserve: int
    """File descriptors for everything but served connections: for Redis, for connections that are
    refused, and for the backlog."""


def connection_limits(
    descriptors: int, total: int | None = None, per_address: int | None = None
) -> ConnectionLimits:
    """Return the limits of a process.

    Args:
        descriptors: How many file descriptors the process may have open.
        total: Most connections; None: as many as the descriptors allow.
        per_address: Most connections of one address; None: half of the total, so that a single
            address never takes all.

    Raises:
        Invalid: The descriptors do not suffice for `total`.
    """
    reserve = max(_LEAST_RESERVE, min(descriptors // 8, _MOST_RESERVE))
    possible = descriptors - reserve
    if possible < 1:
        raise Invalid(f"a limit of {descriptors} file descriptors leaves none for connections")
    if total is not None and total > possible:
        raise Invalid(
            f"--max-connections {total} needs {total + reserve} file descriptors, "
            f"but this process may open {descriptors} only (ulimit -n)"
        )
    total = total or possible
    return ConnectionLimits(total, per_address or max(1, total // 2), reserve)
