"""The tables of networks, and what is wrapped in an address. The rules: tests/test_egress.py."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rq_broker.egress.networks import faces, home

V4 = st.integers(0, 2**32 - 1).map(IPv4Address)
V6 = st.integers(0, 2**128 - 1).map(IPv6Address)


@given(V4 | V6)
def test_every_address_has_a_home(address: IPv4Address | IPv6Address) -> None:
    """The tables leave no gap: any address is in some network of theirs, and of a known kind."""
    network, kind = home(address)
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
    """Metadata stands out of link-local, and private out of reserved."""
    found, its_kind = home(ip_address(address))
    assert (str(found), its_kind) == (network, kind)


@given(V4)
def test_wrapped_addresses_show_their_face(address: IPv4Address) -> None:
    """Mapped, translated, NAT64 and 6to4 forms of any IPv4 address are that address."""
    number = int(address)
    for prefix, shift in [("::ffff:0:0", 0), ("::ffff:0:0:0", 0), ("64:ff9b::", 0), ("2002::", 80)]:
        wrapped = IPv6Address(int(IPv6Address(prefix)) | number << shift)
        assert faces(wrapped) == (address,)
    assert faces(address) == (address,)


@given(V4, V4)
def test_teredo_has_two_faces(server: IPv4Address, client: IPv4Address) -> None:
    """Its server, and its client, whose bits are inverted."""
    hidden = int(client) ^ 0xFFFFFFFF
    wrapped = IPv6Address(int(IPv6Address("2001::")) | int(server) << 64 | hidden)
    assert faces(wrapped) == (server, client)


@given(V4)
def test_what_only_its_operator_knows_counts_as_both(address: IPv4Address) -> None:
    """Local NAT64 and ISATAP addresses are judged as themselves and as what they may wrap."""
    for prefix in ("64:ff9b:1::", "2600::5efe:0:0", "fe80::200:5efe:0:0"):
        outer = IPv6Address(int(IPv6Address(prefix)) | int(address))
        assert faces(outer) == (outer, address)


@pytest.mark.parametrize("text", ["::", "::1", "2600::1", "fe80::1", "fd00::1"])
def test_plain_addresses_have_their_own_face_alone(text: str) -> None:
    """An address that wraps nothing is only itself, the two bare ones included."""
    assert faces(ip_address(text)) == (ip_address(text),)
