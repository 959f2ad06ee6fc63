"""Reads the URL that says where Redis is; it imports nothing of redis-py."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from rq_broker.domain.errors import Invalid

SCHEMES = ("redis", "rediss", "unix", "redis+cluster", "rediss+cluster", "redis+sentinel",
           "rediss+sentinel")  # fmt: skip
"""Schemes of a Redis URL: plain, TLS and unix socket; a cluster's, and those of Sentinels."""
_PORTS = {"sentinel": 26379}
"""Way to run Redis → the port that an address without one means, if it is not Redis's own."""
_REDIS_PORT = 6379
_PARTS = re.compile(r"([^:/?#]*)(?:://)?([^/?#]*)([^?#]*)\??([^#]*)")
"""Scheme, netloc, path and query. Some versions of `urlsplit` refuse an IPv6 address among several
hosts."""


@dataclass(frozen=True, slots=True)
class RedisUrl:
    """What a Redis URL says."""

    way: str
    """How Redis runs: `` (one server), `cluster` or `sentinel`."""
    addresses: tuple[tuple[str, int], ...]
    """Host and port of the server, of nodes of the cluster or of the Sentinels; empty for unix."""
    plain: str
    """The same for one server, as redis-py reads it: login, TLS, database and options."""
    shown: str
    """For people: without login and options."""
    service: str = ""
    """The name under which Sentinels know the primary."""
    sentinel_login: Mapping[str, str] = field(default_factory=dict)
    """`username` and `password` for the Sentinels themselves, where given."""


def parse(url: str) -> RedisUrl:
    """Read a Redis URL.

    `redis://host:port/db`, `rediss://…` (TLS), `unix://path`; `redis+cluster://host:port,…`;
    `redis+sentinel://host:port,…/service/db`, all with `user:password@` for Redis. The options
    `sentinel_username` and `sentinel_password` are for the Sentinels.

    Raises:
        Invalid: the URL is none of these; the sentence shows it without its login.
    """
    match = _PARTS.match(url)
    assert match  # it matches any text
    full_scheme, netloc, path, query = match.groups()
    scheme, _, way = full_scheme.partition("+")
    login, at, hosts = netloc.rpartition("@")
    shown = _shown(url, full_scheme, hosts + path)
    if full_scheme not in SCHEMES:
        raise Invalid(f"--redis {shown} must begin with one of {', '.join(SCHEMES)}")
    if scheme == "unix":
        return RedisUrl(way, (), url, shown)
    default = _PORTS.get(way, _REDIS_PORT)
    names = hosts.split(",") if way else [hosts]
    addresses = tuple(_address(name, default, shown) for name in names)
    database = path.strip("/")
    if way != "sentinel" and database and not database.isdecimal():
        raise Invalid(f"--redis {shown} must end in the number of a database, or in none")
    if not way:
        return RedisUrl(way, addresses, url, shown)
    service, database, sentinel_login, options = "", "", {}, dict(parse_qsl(query))
    if way == "sentinel":
        service, database = _service(path, shown)
        sentinel_login = {
            name.removeprefix("sentinel_"): options.pop(name)
            for name in ("sentinel_username", "sentinel_password")
            if name in options
        }
    plain = f"{scheme}://{login}{at}{names[0]}/{database}?{urlencode(options)}"
    return RedisUrl(way, addresses, plain.rstrip("?"), shown, service, sentinel_login)


def has_password(url: str) -> bool:
    """Tell whether a URL, which need not be valid, has a password."""
    login, at, _ = url.rpartition("@")
    return bool(at and ":" in login.partition("://")[2]) or "password=" in url.partition("?")[2]


def _shown(url: str, scheme: str, rest: str) -> str:
    """Return a URL without its login, also where a password that is not encoded breaks the form."""
    before, at, _ = url.rpartition("@")
    if at and re.search("[?#]", before) and "@" not in re.split("[?#]", before)[0]:
        rest = "…"  # the login may end behind the ? or the #
    return f"{scheme.rpartition('@')[2]}://{rest.rpartition('@')[2]}"


def _address(text: str, default_port: int, shown: str) -> tuple[str, int]:
    try:
        part = urlsplit(f"redis://{text}")
        port = default_port if part.port is None else part.port
    except ValueError:
        raise Invalid(f"--redis {shown} must have a port from 0 to 65535") from None
    return part.hostname or "localhost", port


def _service(path: str, shown: str) -> tuple[str, str]:
    """Return the service and the database of a path `/service/db`; the database may be left out."""
    service, _, database = path.strip("/").partition("/")
    if not service or (database and not database.isdecimal()):
        raise Invalid(
            f"--redis {shown} must name the service that the Sentinels watch, and may name a"
            " database: redis+sentinel://host:port,host:port/service/0"
        )
    return unquote(service), database
