"""Parses a callback's URL into the one canonical form that is checked, dialled and counted.

The HTTP client is given the result of this strict parser and never parses the URL itself: if two
parsers disagree about where the host ends, a guard that uses one of them can be bypassed. Numbers
in a host are read as inet_aton reads them (decimal, octal, hex, short forms), never looked up.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple
from urllib.parse import quote

import idna

from rq_broker.domain.errors import CallbackForbidden
from rq_broker.egress.networks import Address

_DEFAULT_PORTS = {"http": 80, "https": 443}
_MAX_HOST_LENGTH = 253
"""Characters of a DNS name (RFC 1035): no name server has an address for a longer one."""
_URL = re.compile(r"(https?)://([^/?]*)([/?].*)?", re.IGNORECASE | re.ASCII)
_FORBIDDEN_CHARACTER = re.compile(r"[\x00-\x20\x7f-\xa0\\\u2028\u2029\ud800-\udfff]")
"""Blanks, control characters, backslashes, surrogates: parsers disagree about what they mean."""
_AUTHORITY = re.compile(r"(\[[^\]]*\]|[^:\[\]]+)(?::([0-9]{0,5}))?")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_MAX_NUMBER_LENGTH = 16
"""Characters of a number in a host: enough for 32 bits in octal, too few to cost time."""
_PATH_CHARACTERS = "/?&=%.,;:@!$'()*+~_-"
"""Punctuation of a path and query that is sent as it is; all else is percent-encoded."""
_ENCODED_PATH = re.compile(rf"[A-Za-z0-9{re.escape(_PATH_CHARACTERS)}]*")
_PLAIN_URL = re.compile(
    rf"(https?)://([A-Za-z0-9.:_-]+)(/[A-Za-z0-9{re.escape(_PATH_CHARACTERS)}]*)"
)
"""An ordinary URL, which has nothing to refuse or encode: one match instead of four."""


class Target(NamedTuple):
    """A callback's URL in its canonical form."""

    host: str
    """Lower-case ASCII name, or an address in its canonical spelling, without brackets."""
    destination: str
    """scheme://host:port: the receiver, as circuit breakers and shapes name it."""
    url: str
    """The URL to dial: the destination with the percent-encoded path and query."""


class UrlParts(NamedTuple):
    """A URL split in three; only the path is percent-encoded yet."""

    scheme: str
    authority: str
    path: str


class UrlHost(NamedTuple):
    """A host in its canonical spelling, and its address if it is an IP literal."""

    name: str
    address: Address | None


class Authority(NamedTuple):
    """The host and port of a URL; `address` is set if the host is an IP literal."""

    host: str
    address: Address | None
    port: int


def split_url(url: str) -> UrlParts:
    """Split a URL into scheme, authority and path with query. Raises CallbackForbidden.

    >>> split_url("HTTP://Lab.test:8080?x=ü")
    UrlParts(scheme='http', authority='Lab.test:8080', path='/?x=%C3%BC')
    """
    if plain := _PLAIN_URL.fullmatch(url):
        return UrlParts(*plain.groups())
    if _FORBIDDEN_CHARACTER.search(url):
        raise CallbackForbidden("callback contains a space, a backslash or a control character")
    if "#" in url:
        raise CallbackForbidden("callback may not have a fragment")
    match = _URL.fullmatch(url)
    if not match:
        raise CallbackForbidden("callback must be an http:// or https:// URL")
    scheme, authority, path = match.groups()
    return UrlParts(scheme.lower(), authority, _encode_path(path or "/"))


def _encode_path(path: str) -> str:
    if path.startswith("?"):
        path = f"/{path}"
    return path if _ENCODED_PATH.fullmatch(path) else quote(path, safe=_PATH_CHARACTERS)


def parse_authority(scheme: str, authority: str) -> Authority:
    """Parse the host and port of a URL. Raises CallbackForbidden.

    >>> parse_authority("https", "Lab.test")
    Authority(host='lab.test', address=None, port=443)
    >>> parse_authority("http", "0x7f.1:8080")
    Authority(host='127.0.0.1', address=IPv4Address('127.0.0.1'), port=8080)
    """
    if "@" in authority:
        raise CallbackForbidden("callback may not have a user or password")
    match = _AUTHORITY.fullmatch(authority)
    if not match:
        raise CallbackForbidden(f"callback {authority!r} is not a host with an optional port")
    port = int(match[2] or _DEFAULT_PORTS[scheme])
    if not 0 < port < 65536:
        raise CallbackForbidden(f"callback port {port} is not between 1 and 65535")
    return Authority(*parse_host(match[1]), port)


def parse_host(text: str) -> UrlHost:
    """Parse a host name or IP literal, IPv6 in brackets. Raises CallbackForbidden."""
    if text.startswith("["):
        ipv6 = _parse_ipv6(text[1:-1])
        return UrlHost(str(ipv6), ipv6)
    name = _to_ascii(text)
    ipv4 = _parse_ipv4(name)
    return UrlHost(str(ipv4) if ipv4 else name, ipv4)


def _to_ascii(text: str) -> str:
    """Return a name in lower-case ASCII, IDN encoded (UTS 46), without the final dot."""
    try:
        name = text.lower() if text.isascii() else idna.encode(text, uts46=True).decode()
    except UnicodeError as error:
        raise CallbackForbidden(f"callback host {text!r} is not a name: {error}") from None
    name = name.removesuffix(".")
    if len(name) > _MAX_HOST_LENGTH or not all(map(_LABEL.fullmatch, name.split("."))):
        raise CallbackForbidden(f"callback host {text!r} is not a name or an address")
    return name


def _parse_ipv6(text: str) -> IPv6Address:
    try:
        if "%" in text:
            raise ValueError("zones are not allowed")
        return IPv6Address(text)
    except ValueError as error:
        raise CallbackForbidden(f"callback host [{text}] is not an IPv6 address: {error}") from None


def _parse_ipv4(name: str) -> IPv4Address | None:
    """Parse what inet_aton would parse; return None for a name.

    A host whose last label is a number is an address, or invalid: it is never looked up.
    """
    labels = name.split(".")
    if not _NUMBER.fullmatch(labels[-1]):
        return None
    try:
        return _ipv4_of([_parse_number(label) for label in labels])
    except ValueError:
        raise CallbackForbidden(f"callback host {name!r} is not an IPv4 address") from None


def _ipv4_of(numbers: list[int]) -> IPv4Address:
    """Build an address from up to three bytes and a last number that fills the remaining bytes."""
    *leading, last = numbers
    if len(leading) > 3 or any(number > 255 for number in leading):
        raise ValueError
    if last >= 256 ** (4 - len(leading)):
        raise ValueError
    shifted = sum(number << (24 - 8 * index) for index, number in enumerate(leading))
    return IPv4Address(shifted + last)


def _parse_number(label: str) -> int:
    if not _NUMBER.fullmatch(label) or len(label) > _MAX_NUMBER_LENGTH:
        raise ValueError
    if label.startswith("0x"):
        return int(label[2:] or "0", 16)
    return int(label, 8 if label.startswith("0") else 10)
