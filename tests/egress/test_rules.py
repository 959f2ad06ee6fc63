"""The rules, and how URLs are read, without a network. What is dialled: tests/test_sender.py."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rq_broker.domain.errors import CallbackForbidden, Invalid
from rq_broker.egress.networks import faces, home
from rq_broker.egress.rules import Egress

METADATA = IPv4Address("169.254.169.254")
OPEN = Egress.of(allow=["0.0.0.0/0", "::/0"])


def _why(egress: Egress, address: str, port: int = 80, host: str = "") -> str | None:
    """None if it is allowed, else the word that says why not."""
    verdict = egress.permits(ip_address(address), port, host)
    return None if verdict.allowed else verdict.why


@pytest.mark.parametrize(
    ("address", "why"),
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
def test_what_an_unconfigured_broker_may_dial(address: str, why: str | None) -> None:
    """Private networks are open, and nothing else is."""
    assert _why(Egress(), address) == why


def test_opening_everything_public_opens_nothing_special() -> None:
    """`0.0.0.0/0` and `::/0` open the internet, not the machine and not what surrounds it."""
    special = ["127.0.0.1", "::1", "0.0.0.0", "::", "169.254.169.254", "fe80::1", "100.64.0.1"]
    special += ["224.0.0.1", "240.0.0.1", "fd00:ec2::254", "100::1", "64:ff9b:1::a00:1", "4000::1"]
    assert [address for address in special if _why(OPEN, address) is None] == []
    assert _why(OPEN, "93.184.216.34") is _why(OPEN, "2606:2800::1") is None


@pytest.mark.parametrize("network", ["127.0.0.0/8", "127.0.0.1/32", "127.0.0.1"])
def test_a_special_network_opens_by_its_own_name_or_a_part_of_it(network: str) -> None:
    """Who lists loopback gets loopback, and only what he listed."""
    egress = Egress.of(allow=[network])
    assert _why(egress, "127.0.0.1") is None
    assert _why(egress, "::1") == "loopback"
    assert (_why(egress, "127.0.0.2") is None) == (network == "127.0.0.0/8")


def test_listing_link_local_does_not_open_metadata() -> None:
    """Metadata is a network of its own: it must be listed itself."""
    egress = Egress.of(allow=["169.254.0.0/16", "fc00::/7"])
    assert _why(egress, "169.254.7.7") is None
    assert _why(egress, "169.254.169.254") == _why(egress, "fd00:ec2::254") == "metadata"
    assert _why(Egress.of(allow=["169.254.169.254/32"]), "169.254.169.254") is None


@pytest.mark.parametrize("wrapped", ["10.0.0.7", "::ffff:10.0.0.7", "64:ff9b::10.0.0.7"])
def test_deny_wins(wrapped: str) -> None:
    """A denied network stays closed, even if it is private and listed, in any wrapping."""
    assert _why(Egress.of(allow=["10.0.0.0/8"], deny=["10.0.0.0/24"]), wrapped) == "denied"
    assert _why(Egress.of(deny=["10.0.0.0/24"]), "10.0.1.7") is None


def test_deny_holds_for_a_wrapping_named_itself() -> None:
    """An operator may close a whole translation prefix."""
    assert _why(Egress.of(deny=["64:ff9b::/96"]), "64:ff9b::10.0.0.7") == "denied"


def test_ports_limit_every_address() -> None:
    """With ports configured, no address may be dialled at another."""
    egress = Egress.of(ports=[443])
    assert _why(egress, "10.0.0.1", 443) is None
    assert _why(egress, "10.0.0.1", 80) == "port"
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
    """However an address of ours is written, and whatever is listed, its port is closed there."""
    allow = ["10.0.0.0/8", "127.0.0.0/8", "0.0.0.0/8", "::/128", "::1/128"]
    egress = Egress.of(allow=allow, ours=[(listens, 6379)])
    assert _why(egress, dialled, 6379) == "ours"
    assert _why(egress, dialled, 6380) is None


def test_names_open_public_addresses_only() -> None:
    """A listed name vouches for where it leads on the internet, and for nothing on the inside."""
    egress = Egress.of(allow=["hooks.test", "*.lab.test"])
    for host in ("hooks.test", "a.lab.test", "a.b.lab.test"):
        assert _why(egress, "93.184.216.34", host=host) is None
        assert _why(egress, "127.0.0.1", host=host) == "loopback"
    for host in ("", "lab.test", "xhooks.test", "a.hooks.test", "evillab.test"):
        assert _why(egress, "93.184.216.34", host=host) == "public"


def test_a_denied_name_is_refused_at_submit_and_at_the_dial() -> None:
    """A name can be closed although its addresses are open."""
    egress = Egress.of(allow=["0.0.0.0/0"], deny=["*.evil.test", "bücher.test"])
    assert _why(egress, "10.0.0.1", host="a.evil.test") == "denied"
    for url in ("http://A.EVIL.test./", "http://bücher.test/", "http://xn--bcher-kva.test/"):
        with pytest.raises(CallbackForbidden, match="denied"):
            egress.check_url(url)


@pytest.mark.parametrize("entry", ["10.0.0.5/8", "10.0.0.0/33", "a b", "*", "a/b", "0x7f.1", "*.1"])
def test_a_rule_that_means_nothing_is_refused(entry: str) -> None:
    """A typing error in a rule is named with its option, never skipped."""
    with pytest.raises(Invalid, match="callback-deny"):
        Egress.of(deny=[entry])


def test_empty_entries_of_a_list_mean_nothing() -> None:
    """A trailing comma in an option is harmless."""
    assert _why(Egress.of(allow=["", " 127.0.0.0/8 "]), "127.0.0.1") is None


@pytest.mark.parametrize(
    "wrapped",
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
def test_metadata_is_found_in_every_wrapping(wrapped: str) -> None:
    """Mapped, compatible, translated, NAT64, 6to4, Teredo, ISATAP: the packet ends up there."""
    assert METADATA in faces(ip_address(wrapped))
    assert _why(OPEN, wrapped) is not None
    assert _why(Egress.of(allow=["0.0.0.0/0", "::/0", "::/3", "64:ff9b:1::/48"]), wrapped)


@given(st.integers(0, 2**32 - 1).map(IPv4Address))
def test_a_wrapping_is_as_open_as_what_it_wraps(address: IPv4Address) -> None:
    """No IPv4 address is judged otherwise because IPv6 is written around it."""
    bits = int(address)
    mapped, nat64 = (0xFFFF << 32) | bits, (0x64FF9B << 96) | bits
    six_to_four = (0x2002 << 112) | (bits << 80)
    for egress in (Egress(), OPEN):
        plain = egress.permits(address, 80)
        for wrapped in (mapped, nat64, six_to_four):
            assert egress.permits(IPv6Address(wrapped), 80) == plain


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_every_address_has_a_home(address: IPv4Address | IPv6Address) -> None:
    """The tables leave no gap in which a rule could fail."""
    network, kind = home(address)
    assert address in network
    assert kind


@given(st.ip_addresses(v=4))
def test_nothing_public_here_is_special_to_the_standard_library(address: IPv4Address) -> None:
    """Where our tables say public, `ipaddress` finds nothing against it (it may know less)."""
    relays = IPv4Network("192.0.0.0/16")  # the library and the registry differ on single hosts
    if home(address)[1] == "public" and address not in relays:
        assert address.is_global


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
    """Breakers, shapes and the dial all see the same spelling."""
    found = Egress().check_url(url)
    assert (found.host, found.destination) == (host, destination)
    assert found.url == destination + dialled


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
    """The refusal names the callback and says what is wrong with it."""
    with pytest.raises(CallbackForbidden, match=sentence) as refusal:
        Egress().check_url(url)
    assert str(refusal.value).startswith("callback")
    assert refusal.value.code == "callback_forbidden"


def test_localhost_opens_with_either_loopback() -> None:
    """The submit refuses only what could never be dialled; the dial looks at each address."""
    for network in ("127.0.0.0/8", "::1/128"):
        assert Egress.of(allow=[network]).check_url("http://localhost/").host == "localhost"


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No callback, however odd, raises anything but the refusal."""
    for url in (text, f"http://{text}", f"http://lab.test/{text}"):
        try:
            found = OPEN.check_url(url)
        except CallbackForbidden:
            continue
        assert found.url.isascii()
        assert OPEN.check_url(found.url) == found
