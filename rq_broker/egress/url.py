"""Reads a callback's URL into the one form that is judged, dialled and counted.

One strict parser, whose canonical result is what the HTTP client is given: two parsers that
disagree about where the host ends are how guards are passed. Numbers in a host are read as
inet_aton reads them (decimal, octal, hex, short forms) and never reach a resolver.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import quote

import idna

from rq_broker.domain.errors import CallbackForbidden
from rq_broker.egress.networks import Address

_DEFAULT_PORTS = {"http": 80, "https": 443}
_MAX_HOST = 253
_URL = re.compile(r"(https?)://([^/?]*)([/?].*)?", re.IGNORECASE | re.ASCII)
_BAD = re.compile(r"[\x00-\x20\x7f-\xa0\\\u2028\u2029\ud800-\udfff]")
_AUTHORITY = re.compile(r"(\[[^\]]*\]|[^:\[\]]+)(?::([0-9]{0,5}))?")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PLAIN = re.compile(r"[A-Za-z0-9/?&=%.,;:@!$'()*+~_-]*")


@dataclass(frozen=True, slots=True)
class Target:
    """A callback's URL, understood."""

    host: str
    """Lower-case ASCII name, or an address in its canonical spelling, without brackets."""
    destination: str
    """scheme://host:port: what a breaker counts and a shape holds."""
    url: str
    """What is dialled: the destination and the percent-encoded path and query."""


def split(url: str) -> tuple[str, str, str]:
    """Split into scheme, authority and path with query. Raises CallbackForbidden."""
    if _BAD.search(url):
        raise CallbackForbidden("callback holds a space, a backslash or a control character")
    if "#" in url:
        raise CallbackForbidden("callback may not have a fragment")
    match = _URL.fullmatch(url)
    if not match:
        raise CallbackForbidden("callback must be an http:// or https:// URL")
    scheme, authority, path = match.groups()
    return scheme.lower(), authority, _encoded(path or "/")


def _encoded(path: str) -> str:
    if path.startswith("?"):
        path = f"/{path}"
    return path if _PLAIN.fullmatch(path) else quote(path, safe="/?&=%.,;:@!$'()*+~_-")


def parse_authority(scheme: str, authority: str) -> tuple[str, Address | None, int]:
    """Read host, its address if it is a literal, and port. Raises CallbackForbidden."""
    if "@" in authority:
        raise CallbackForbidden("callback may not have a user or password")
    match = _AUTHORITY.fullmatch(authority)
    if not match:
        raise CallbackForbidden(f"callback {authority!r} is not a host with an optional port")
    port = int(match[2] or _DEFAULT_PORTS[scheme])
    if not 0 < port < 65536:
        raise CallbackForbidden(f"callback port {port} is not between 1 and 65535")
    return (*parse_host(match[1]), port)


def parse_host(text: str) -> tuple[str, Address | None]:
    """Read a host into its canonical spelling and, if it is one, its address.

    Raises CallbackForbidden.
    """
    if text.startswith("["):
        address: Address | None = _ipv6(text[1:-1])
        return str(address), address
    name = _ascii(text)
    address = _ipv4(name)
    return (str(address) if address else name), address


def _ascii(text: str) -> str:
    """Lower-case ASCII form of a name, IDN included (UTS 46), without the final dot."""
    try:
        name = text.lower() if text.isascii() else idna.encode(text, uts46=True).decode()
    except UnicodeError as error:
        raise CallbackForbidden(f"callback host {text!r} is not a name: {error}") from None
    name = name.removesuffix(".")
    if len(name) > _MAX_HOST or not all(map(_LABEL.fullmatch, name.split("."))):
        raise CallbackForbidden(f"callback host {text!r} is not a name or an address")
    return name


def _ipv6(text: str) -> IPv6Address:
    try:
        if "%" in text:
            raise ValueError("zones are not allowed")
        return IPv6Address(text)
    except ValueError as error:
        raise CallbackForbidden(f"callback host [{text}] is not an IPv6 address: {error}") from None


def _ipv4(name: str) -> IPv4Address | None:
    """Read what inet_aton would; None for a name, which is what does not end in a number."""
    parts = name.split(".")
    if not _NUMBER.fullmatch(parts[-1]):
        return None
    try:
        *leading, last = [_number(part) for part in parts]
        if len(leading) > 3 or any(value > 255 for value in leading):
            raise ValueError
        if last >= 256 ** (4 - len(leading)):
            raise ValueError
    except ValueError:
        raise CallbackForbidden(f"callback host {name!r} is not an IPv4 address") from None
    shifted = sum(value << (24 - 8 * place) for place, value in enumerate(leading))
    return IPv4Address(shifted + last)


def _number(part: str) -> int:
    if not _NUMBER.fullmatch(part) or len(part) > 16:
        raise ValueError
    if part.startswith("0x"):
        return int(part[2:] or "0", 16)
    return int(part, 8 if part.startswith("0") else 10)
