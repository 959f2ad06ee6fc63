"""The tables of networks, and the addresses that an address carries."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address

import pytest
from hypothesis import given, strategies as st

from rq_broker.egress.networks import effective_addresses, network_of

V4 = st.integers(0, 2**32 - 1).map(IPv4Address)
V6 = st.integers(0, 2**128 - 1).map(IPv6Address)


@given(V4 | V6)
def test_every_address_is_classified(address: IPv4Address | IPv6Address) -> None:
    """The tables have no gap: every address lies in one of their networks and has a kind."""
    network, kind = network_of(address)
    assert address in network
    assert kind


@pytest.mark.parametrize(
    ("address", "network", "kind"),
    [
        ("169.254.169.254", "169.254.169.254/32", "metadata"),
        ("169.254.169.250", "169.254.0.0/16", "link_local"),
        ("10.9.8.7", "10.0.0.0/8", "private"),
        ("8.8.8.8", "0.0.0.0/0", "public"),
        ("fd00:ec2::254", "fd00:ec2::/32", "metadata"),
        ("fd00::1", "fc00::/7", "private"),
        ("2600::1", "2000::/3", "public"),
        ("::2", "::/3", "reserved"),
    ],
)
def test_the_narrowest_network_decides(address: str, network: str, kind: str) -> None:
    """A metadata address is not taken for link-local, nor a private one for reserved."""
    narrowest = network_of(ip_address(address))
    assert (str(narrowest.network), narrowest.kind) == (network, kind)


@given(V4)
def test_an_embedded_ipv4_address_is_extracted(address: IPv4Address) -> None:
    """Mapped, translated, NAT64 and 6to4 forms of an IPv4 address stand for that address alone."""
    number = int(address)
    for prefix, shift in [("::ffff:0:0", 0), ("::ffff:0:0:0", 0), ("64:ff9b::", 0), ("2002::", 80)]:
        carrier = IPv6Address(int(IPv6Address(prefix)) | number << shift)
        assert effective_addresses(carrier) == (address,)
    assert effective_addresses(address) == (address,)


@given(V4, V4)
def test_a_teredo_address_stands_for_server_and_client(
    server: IPv4Address, client: IPv4Address
) -> None:
    """A Teredo address carries its server and, with inverted bits, its client."""
    hidden = int(client) ^ 0xFFFFFFFF
    carrier = IPv6Address(int(IPv6Address("2001::")) | int(server) << 64 | hidden)
    assert effective_addresses(carrier) == (server, client)


@given(V4)
def test_an_address_that_may_be_translated_counts_as_both(address: IPv4Address) -> None:
    """Local NAT64 and ISATAP addresses stand for themselves and for what they carry."""
    for prefix in ("64:ff9b:1::", "2600::5efe:0:0", "fe80::200:5efe:0:0"):
        outer = IPv6Address(int(IPv6Address(prefix)) | int(address))
        assert effective_addresses(outer) == (outer, address)


@pytest.mark.parametrize("text", ["::", "::1", "2600::1", "fe80::1", "fd00::1"])
def test_a_plain_address_stands_for_itself_alone(text: str) -> None:
    """An address that carries no other stands for itself, `::` and `::1` included."""
    assert effective_addresses(ip_address(text)) == (ip_address(text),)


@given(st.ip_addresses(v=4))
def test_public_here_is_global_to_the_standard_library(address: IPv4Address) -> None:
    """What the tables call public, `ipaddress` calls global; it may know fewer special networks."""
    # The library and the registry differ on single hosts of this network.
    relays = IPv4Network("192.0.0.0/16")
    if network_of(address).kind == "public" and address not in relays:
        assert address.is_global
