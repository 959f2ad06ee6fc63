"""Where callbacks may go, as the settings of one process have it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from socket import getaddrinfo

from redis.asyncio import Redis, RedisCluster

from rq_broker.domain.errors import Invalid
from rq_broker.egress.rules import Egress
from rq_broker.settings import LOOPBACK, Settings
from rq_broker.store.connection import servers_of
from rq_broker.store.redis_url import parse

_log = logging.getLogger(__name__)

SERVERS_SECONDS = 10.0
"""Seconds between two looks at which servers Redis has. Until then one that joined is not closed to
callbacks; a shorter time costs commands while nothing changes."""


def egress_of(
    settings: Settings, *, own_api: bool = True, servers: Iterable[tuple[str, int]] = ()
) -> Egress:
    """Build the egress rules; the broker's own Redis is always closed to callbacks.

    Args:
        settings: The process's settings.
        own_api: Close the API's own address too. `dev` leaves it open, for its inbox.
        servers: Where Redis listens besides the addresses of its URL.

    Raises:
        Invalid: A list of the settings holds something that is neither network nor name, or no
            callback may go to the callback base.
    """
    all_servers = dict.fromkeys((*parse(settings.redis).addresses, *servers))
    closed = [(ip, port) for host, port in all_servers for ip in _addresses(host)]
    if own_api:
        closed += [(ip, settings.port) for ip in _addresses(settings.host)]
    egress = Egress.of(
        allow=settings.callback_allow,
        deny=settings.callback_deny,
        ports=settings.callback_ports,
        own_listeners=closed,
    )
    if settings.callback_base is not None and own_api:
        _check_base(egress, settings.callback_base)
    return egress


async def keep_servers_closed(egress: Egress, client: Redis | RedisCluster) -> None:
    """Close to callbacks every server that joins Redis, until cancelled."""
    while True:
        await asyncio.sleep(SERVERS_SECONDS)
        try:
            for host, port in await servers_of(client):
                addresses = await asyncio.to_thread(_addresses, host)
                egress.close_listeners((address, port) for address in addresses)
        except Exception:  # the next look finds what joined
            _log.exception("the servers of Redis could not be listed")


def _check_base(egress: Egress, base: str) -> None:
    """Raise Invalid if no relative callback could be called: the base is no URL, or is closed."""
    try:
        egress.check_url(base)
    except Invalid as error:
        raise Invalid(f"--callback-base {base} cannot be called: {error}") from None


def _addresses(host: str) -> list[str]:
    """List the IP addresses of a host name; none if it does not resolve."""
    if host == "localhost":
        return list(LOOPBACK)
    try:
        answers = getaddrinfo(host, None)
    except OSError:
        return []
    return sorted({str(address[0]).partition("%")[0] for *_, address in answers})
