"""The egress rules, decided without a network. What is really dialled: delivery/http."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given, strategies as st

from rq_broker.domain.errors import CallbackForbidden, Invalid
from rq_broker.egress.networks import effective_addresses
from rq_broker.egress.rules import Egress

METADATA = IPv4Address("169.254.169.254")
OPEN = Egress.of(allow=["0.0.0.0/0", "::/0"])


def _refusal(egress: Egress, address: str, port: int = 80, host: str = "") -> str | None:
    """Return the reason for which an address may not be dialled, None if it may."""
    verdict = egress.check(ip_address(address), port, host)
    return None if verdict.allowed else verdict.reason


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("10.1.2.3", None),
        ("172.31.255.255", None),
        ("192.168.0.1", None),
        ("fd12::1", None),
        ("172.32.0.1", "public"),
        ("93.184.216.34", "public"),
        ("2606:2800:220:1::1", "public"),
        ("127.0.0.1", "loopback"),
        ("127.255.255.254", "loopback"),
        ("::1", "loopback"),
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "unspecified"),
        ("::", "unspecified"),
        ("169.254.1.1", "link_local"),
        ("fe80::1", "link_local"),
        ("169.254.169.254", "metadata"),
        ("169.254.170.2", "metadata"),
        ("100.100.100.200", "metadata"),
        ("168.63.129.16", "metadata"),
        ("fd00:ec2::254", "metadata"),
        ("100.64.0.1", "shared"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("255.255.255.255", "reserved"),
        ("198.18.0.1", "reserved"),
        ("2001:db8::1", "reserved"),
        ("100::1", "reserved"),
        ("4000::1", "reserved"),
        ("fe00::1", "reserved"),
    ],
)
def test_what_an_unconfigured_broker_may_dial(address: str, reason: str | None) -> None:
    """Private networks are open, and nothing else is."""
    assert _refusal(Egress(), address) == reason


def test_opening_everything_public_opens_nothing_special() -> None:
    """`0.0.0.0/0` and `::/0` open the internet, but neither this machine nor a special network."""
    special = ["127.0.0.1", "::1", "0.0.0.0", "::", "169.254.169.254", "fe80::1", "100.64.0.1"]
    special += ["224.0.0.1", "240.0.0.1", "fd00:ec2::254", "100::1", "64:ff9b:1::a00:1", "4000::1"]
    assert [address for address in special if _refusal(OPEN, address) is None] == []
    assert _refusal(OPEN, "93.184.216.34") is _refusal(OPEN, "2606:2800::1") is None


@pytest.mark.parametrize("network", ["127.0.0.0/8", "127.0.0.1/32", "127.0.0.1"])
def test_a_special_network_opens_only_if_it_or_a_part_is_allowed(network: str) -> None:
    """Allowing loopback, or an address of it, opens exactly that."""
    egress = Egress.of(allow=[network])
    assert _refusal(egress, "127.0.0.1") is None
    assert _refusal(egress, "::1") == "loopback"
    assert (_refusal(egress, "127.0.0.2") is None) == (network == "127.0.0.0/8")


def test_listing_link_local_does_not_open_metadata() -> None:
    """A metadata address opens only if it is allowed itself."""
    egress = Egress.of(allow=["169.254.0.0/16", "fc00::/7"])
    assert _refusal(egress, "169.254.7.7") is None
    assert _refusal(egress, "169.254.169.254") == _refusal(egress, "fd00:ec2::254") == "metadata"
    assert _refusal(Egress.of(allow=["169.254.169.254/32"]), "169.254.169.254") is None


@pytest.mark.parametrize("address", ["10.0.0.7", "::ffff:10.0.0.7", "64:ff9b::10.0.0.7"])
def test_deny_wins(address: str) -> None:
    """A denied network stays closed though it is private and allowed, in IPv6 forms too."""
    assert _refusal(Egress.of(allow=["10.0.0.0/8"], deny=["10.0.0.0/24"]), address) == "denied"
    assert _refusal(Egress.of(deny=["10.0.0.0/24"]), "10.0.1.7") is None


def test_a_translation_prefix_can_be_denied() -> None:
    """An address is refused by the prefix it is written in, not only by what it carries."""
    assert _refusal(Egress.of(deny=["64:ff9b::/96"]), "64:ff9b::10.0.0.7") == "denied"


def test_ports_limit_every_address() -> None:
    """With ports configured, no address may be dialled at another."""
    egress = Egress.of(ports=[443])
    assert _refusal(egress, "10.0.0.1", 443) is None
    assert _refusal(egress, "10.0.0.1", 80) == "port"
    with pytest.raises(CallbackForbidden, match="port"):
        egress.check_url("http://lab.test/")


@pytest.mark.parametrize(
    ("listens", "dialled"),
    [
        ("10.0.0.5", "10.0.0.5"),
        ("10.0.0.5", "::ffff:10.0.0.5"),
        ("::ffff:10.0.0.5", "10.0.0.5"),
        ("10.0.0.5", "64:ff9b::10.0.0.5"),
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "0.0.0.0"),
        ("0.0.0.0", "127.0.0.1"),
        ("0.0.0.0", "127.8.8.8"),
        ("::", "::1"),
        ("::1", "::"),
    ],
)
def test_our_own_redis_and_api_stay_closed(listens: str, dialled: str) -> None:
    """However the broker's own address is written, and whatever is allowed, its port is closed."""
    allow = ["10.0.0.0/8", "127.0.0.0/8", "0.0.0.0/8", "::/128", "::1/128"]
    egress = Egress.of(allow=allow, own_listeners=[(listens, 6379)])
    assert _refusal(egress, dialled, 6379) == "own_service"
    assert _refusal(egress, dialled, 6380) is None


def test_names_open_public_addresses_only() -> None:
    """An allowed name opens the public addresses it resolves to, never a special one."""
    egress = Egress.of(allow=["hooks.test", "*.lab.test"])
    for host in ("hooks.test", "a.lab.test", "a.b.lab.test"):
        assert _refusal(egress, "93.184.216.34", host=host) is None
        assert _refusal(egress, "127.0.0.1", host=host) == "loopback"
    for host in ("", "lab.test", "xhooks.test", "a.hooks.test", "evillab.test"):
        assert _refusal(egress, "93.184.216.34", host=host) == "public"


def test_a_denied_name_is_refused_at_submit_and_at_the_dial() -> None:
    """A name can be denied although the addresses it resolves to are open."""
    egress = Egress.of(allow=["0.0.0.0/0"], deny=["*.evil.test", "bücher.test"])
    assert _refusal(egress, "10.0.0.1", host="a.evil.test") == "denied"
    for url in ("http://A.EVIL.test./", "http://bücher.test/", "http://xn--bcher-kva.test/"):
        with pytest.raises(CallbackForbidden, match="--callback-deny names it"):
            egress.check_url(url)


@pytest.mark.parametrize("entry", ["10.0.0.5/8", "10.0.0.0/33", "a b", "*", "a/b", "0x7f.1", "*.1"])
def test_an_invalid_entry_is_refused(entry: str) -> None:
    """An entry that is neither a network nor a name is refused with its option, never skipped."""
    with pytest.raises(Invalid, match="callback-deny"):
        Egress.of(deny=[entry])


def test_empty_entries_are_ignored() -> None:
    """A trailing comma in an option is harmless."""
    assert _refusal(Egress.of(allow=["", " 127.0.0.0/8 "]), "127.0.0.1") is None


@pytest.mark.parametrize(
    "carrier",
    [
        "::ffff:169.254.169.254",
        "::169.254.169.254",
        "::ffff:0:169.254.169.254",
        "64:ff9b::169.254.169.254",
        "64:ff9b:1::169.254.169.254",
        "64:ff9b:1:ffff:aa:bb:169.254.169.254",
        "2002:a9fe:a9fe::1",
        "2001:0:a9fe:a9fe::1",
        "2001:0:5db8:d822:0:0:5601:5601",
        "2606:2800:220:1:0:5efe:169.254.169.254",
        "2606:2800:220:1:200:5efe:169.254.169.254",
        "fd00::5efe:169.254.169.254",
    ],
)
def test_metadata_is_found_in_every_ipv6_form(carrier: str) -> None:
    """Mapped, compatible, translated, NAT64, 6to4, Teredo and ISATAP forms are all refused."""
    assert METADATA in effective_addresses(ip_address(carrier))
    assert _refusal(OPEN, carrier) is not None
    assert _refusal(Egress.of(allow=["0.0.0.0/0", "::/0", "::/3", "64:ff9b:1::/48"]), carrier)


@given(st.integers(0, 2**32 - 1).map(IPv4Address))
def test_an_ipv6_form_is_as_open_as_its_ipv4_address(address: IPv4Address) -> None:
    """Mapped, NAT64 and 6to4 forms get the same verdict as the IPv4 address they carry."""
    bits = int(address)
    mapped, nat64 = (0xFFFF << 32) | bits, (0x64FF9B << 96) | bits
    six_to_four = (0x2002 << 112) | (bits << 80)
    for egress in (Egress(), OPEN):
        plain = egress.check(address, 80)
        for carrier in (mapped, nat64, six_to_four):
            assert egress.check(IPv6Address(carrier), 80) == plain


@pytest.mark.parametrize(
    ("url", "host", "destination", "dialled"),
    [
        ("http://lab.test", "lab.test", "http://lab.test:80", "/"),
        ("HTTPS://LAB.test:/a", "lab.test", "https://lab.test:443", "/a"),
        ("http://lab.test.:8080?x=1", "lab.test", "http://lab.test:8080", "/?x=1"),
        ("http://bücher.test/ä", "xn--bcher-kva.test", "http://xn--bcher-kva.test:80", "/%C3%A4"),
        ("http://lab.test/%C3%A4?q=%2F", "lab.test", "http://lab.test:80", "/%C3%A4?q=%2F"),
        ("http://lab.test//@[x]", "lab.test", "http://lab.test:80", "//@%5Bx%5D"),
        ("http://0xA.1:00080/", "10.0.0.1", "http://10.0.0.1:80", "/"),
        ("http://[FD00:0::1]:81/", "fd00::1", "http://[fd00::1]:81", "/"),
        ("http://my_service:9/", "my_service", "http://my_service:9", "/"),
    ],
)
def test_a_url_has_one_canonical_form(url: str, host: str, destination: str, dialled: str) -> None:
    """Every spelling of a URL becomes the same host, destination and URL to dial."""
    target = Egress().check_url(url)
    assert (target.host, target.destination) == (host, destination)
    assert target.url == destination + dialled


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("abc", "http:// or https://"),
        ("ftp://lab.test/", "http:// or https://"),
        ("http:/lab.test/", "http:// or https://"),
        ("//lab.test/", "http:// or https://"),
        ("http://u:p@lab.test/", "user or password"),
        ("http://lab.test/#part", "fragment"),
        ("http://lab.test/a b", "space"),
        ("http://lab.test\\@evil.test/", "backslash"),
        ("http://lab.test/\r\nX: 1", "control character"),
        ("http://lab.test/\ud800", "control character"),
        ("http://lab.test:65536/", "between 1 and 65535"),
        ("http://lab.test:0/", "between 1 and 65535"),
        ("http:///path", "not a host"),
        ("http://lab.test:٨٠/", "not a host"),
        ("http://lab%2etest/", "not a name"),
        ("http://-lab.test/", "not a name"),
        (f"http://{'a.' * 127}test/", "not a name"),
        ("http://xn--a\u0378.test/", "not a name"),
        ("http://10.0.0.256/", "not an IPv4"),
        ("http://[fd00::1%25eth0]/", "zones"),
        ("http://127.0.0.1/", "loopback"),
        ("http://localhost/", "loopback"),
        ("http://a.localhost./", "loopback"),
    ],
)
def test_a_url_that_could_never_be_dialled_is_refused(url: str, sentence: str) -> None:
    """The refusal starts with the field's name and says what is wrong."""
    with pytest.raises(CallbackForbidden, match=sentence) as refusal:
        Egress().check_url(url)
    assert str(refusal.value).startswith("callback")
    assert refusal.value.code == "callback_forbidden"


def test_localhost_opens_with_either_loopback() -> None:
    """The submit lets localhost pass if one loopback is open; the dial checks each address."""
    for network in ("127.0.0.0/8", "::1/128"):
        assert Egress.of(allow=[network]).check_url("http://localhost/").host == "localhost"


@given(st.text(max_size=40))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    """No text raises anything but the refusal, and what passes is already canonical."""
    for url in (text, f"http://{text}", f"http://lab.test/{text}"):
        try:
            target = OPEN.check_url(url)
        except CallbackForbidden:
            continue
        assert target.url.isascii()
        assert OPEN.check_url(target.url) == target
