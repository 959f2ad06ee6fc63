"""How a callback's URL is parsed. Which hosts may be dialled: see test_rules.py."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given, strategies as st

from rq_broker.domain.errors import CallbackForbidden
from rq_broker.egress.url import parse_authority, parse_host, split_url


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("http://x", ("http", "x", "/")),
        ("HTTPS://X:1/a?b=c", ("https", "X:1", "/a?b=c")),
        ("http://x?q", ("http", "x", "/?q")),
        ("http://x/%20a", ("http", "x", "/%20a")),
        ("http://x/ü虛", ("http", "x", "/%C3%BC%E8%99%9B")),
        ('http://x/"<>', ("http", "x", "/%22%3C%3E")),
        ("http://x//y/../z", ("http", "x", "//y/../z")),
        ("http://u@x/", ("http", "u@x", "/")),
    ],
)
def test_a_url_is_split_in_three(url: str, parts: tuple[str, str, str]) -> None:
    """Scheme, authority, and a path that can be sent; no part of it is removed."""
    assert split_url(url) == parts


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("ftp://x/", "must be an http"),
        ("//x/", "must be an http"),
        ("http:/x", "must be an http"),
        ("abc", "must be an http"),
        ("http://x/#a", "fragment"),
        ("http://x/ a", "a space, a backslash"),
        ("http://x\\y/", "a space, a backslash"),
        ("http://x/\r\nHost: y", "a space, a backslash"),
        ("http://x/\x00", "a space, a backslash"),
        ("http://x/\u2028", "a space, a backslash"),
        ("http://x/\ud800", "a space, a backslash"),
    ],
)
def test_an_ambiguous_url_is_refused(url: str, sentence: str) -> None:
    """Blanks, backslashes, control characters, fragments and other schemes are refused."""
    with pytest.raises(CallbackForbidden, match=sentence):
        split_url(url)


@pytest.mark.parametrize(
    ("scheme", "authority", "host", "port"),
    [
        ("http", "x", "x", 80),
        ("https", "x", "x", 443),
        ("http", "X.Lab.:8080", "x.lab", 8080),
        ("http", "x:", "x", 80),
        ("http", "[::1]:99", "::1", 99),
        ("http", "[0:0::0:1]", "::1", 80),
        ("http", "0x7f.1", "127.0.0.1", 80),
        ("https", "bücher.test", "xn--bcher-kva.test", 443),
        ("http", "a_b.test", "a_b.test", 80),
    ],
)
def test_an_authority_has_one_spelling(scheme: str, authority: str, host: str, port: int) -> None:
    """Case, final dots, default ports, short forms and IDN give one host and port."""
    parsed = parse_authority(scheme, authority)
    assert (parsed.host, parsed.port) == (host, port)
    assert parsed.address is None or str(parsed.address) == host


@pytest.mark.parametrize(
    "authority",
    [
        *("", ":80", "u@x", "u:p@x", "x:0", "x:65536", "x:999999", "x:1:2", "[::1", "::1"),
        *("[::1]x", "[fe80::1%eth0]", "[::1.2.3.4.5]", "-x", "x-", "x..y", "x y", "a" * 64),
        *("256.1.1.1", "1.2.3.4.5", "1.2.3.08", "0x100000000", "1.2.3.256", "a.0x1g.1", "x:٣"),
        f"{'a.' * 130}b",
    ],
)
def test_an_invalid_authority_is_refused(authority: str) -> None:
    """Users, ports out of range, zones, malformed names and numbers are refused."""
    with pytest.raises(CallbackForbidden):
        parse_authority("http", authority)


@given(st.integers(0, 2**32 - 1), st.data())
def test_every_spelling_of_an_ipv4_address_is_parsed(number: int, data: st.DataObject) -> None:
    """Decimal, octal and hex, in one to four parts and any mixture, give the same address."""
    address = IPv4Address(number)
    octets = [*address.packed]
    parts = data.draw(st.integers(1, 4))
    values = [*octets[: parts - 1], int.from_bytes(bytes(octets[parts - 1 :]), "big")]
    bases = st.sampled_from(["{}", "0{:o}", "0x{:x}", "0X{:X}"])
    text = ".".join(data.draw(bases).format(value) for value in values)
    assert parse_host(text) == (str(address), address)


@given(st.integers(0, 2**128 - 1).map(IPv6Address))
def test_every_spelling_of_an_ipv6_address_is_parsed(address: IPv6Address) -> None:
    """Exploded or compressed, in capitals or not, it is the same host."""
    for text in (address.exploded, address.compressed, address.exploded.upper()):
        assert parse_host(f"[{text}]") == (str(address), ip_address(text))
