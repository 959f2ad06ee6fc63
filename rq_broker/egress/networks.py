"""Which kind of network an address belongs to, whatever it is wrapped in.

Own tables, from the IANA special-purpose registries and the clouds' manuals, because `ipaddress`
answers differently: to it ::ffff:169.254.169.254 is not link-local, and the same address behind a
NAT64 prefix is global.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_network,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_KINDS = {
    "public": "0.0.0.0/0 2000::/3",
    "private": "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7",
    "unspecified": "0.0.0.0/8 ::/128",
    "loopback": "127.0.0.0/8 ::1/128",
    "link_local": "169.254.0.0/16 fe80::/10 fec0::/10",
    "shared": "100.64.0.0/10",
    "multicast": "224.0.0.0/4 ff00::/8",
    "reserved": "192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 198.18.0.0/15 198.51.100.0/24"
    " 203.0.113.0/24 240.0.0.0/4 2001::/23 2001:db8::/32 3fff::/20"
    # All that is not 2000::/3, in pieces, so that listing ::/0 does not open it.
    " ::/3 4000::/2 8000::/1 64:ff9b:1::/48 100::/64 5f00::/16",
    # AWS (instance, ECS, EKS, DNS, time), GCP, Azure's wire server, Alibaba, Tencent, Oracle,
    # Scaleway. Each is a network of its own, so listing what surrounds it does not open it.
    "metadata": "169.254.169.254/32 169.254.170.2/32 169.254.170.23/32 169.254.169.253/32"
    " 169.254.169.123/32 168.63.129.16/32 100.100.100.200/32 169.254.0.23/32 192.0.0.192/32"
    " 169.254.42.42/32 fd00:ec2::/32 fd20:ce::254/128 fd00:c1::a9fe:a9fe/128 fd00:42::42/128",
}

_TABLE: list[tuple[Network, str]] = sorted(
    ((ip_network(text), kind) for kind, texts in _KINDS.items() for text in texts.split()),
    key=lambda entry: -entry[0].prefixlen,
)

_LAST = ((0, 0),)
_WRAPPERS: dict[IPv6Network, tuple[tuple[int, int], ...]] = {
    IPv6Network("::/96"): _LAST,  # v4-compatible
    IPv6Network("::ffff:0:0/96"): _LAST,  # v4-mapped
    IPv6Network("::ffff:0:0:0/96"): _LAST,  # v4-translated
    IPv6Network("64:ff9b::/96"): _LAST,  # NAT64
    IPv6Network("2002::/16"): ((80, 0),),  # 6to4
    IPv6Network("2001::/32"): ((64, 0), (0, 0xFFFFFFFF)),  # Teredo: its server, its client inverted
}
"""Prefix → where the IPv4 addresses are: (bits to shift right, mask to invert)."""

_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")
_BARE = (IPv6Address("::"), IPv6Address("::1"))


@lru_cache(maxsize=4096)
def home(address: Address) -> tuple[Network, str]:
    """Find the narrowest network of the tables that holds `address`, and its kind."""
    return next(entry for entry in _TABLE if address in entry[0])


@lru_cache(maxsize=4096)
def faces(address: Address) -> tuple[Address, ...]:
    """List every address that a packet to `address` may reach: itself, or what it wraps, or both.

    Local NAT64 (RFC 8215) and ISATAP count as both, since only their operator knows.
    """
    if isinstance(address, IPv4Address):
        return (address,)
    for network, places in _WRAPPERS.items():
        if address in network and address not in _BARE:
            return tuple(_embedded(address, *place) for place in places)
    return (address, *_guests(address))


def _guests(address: IPv6Address) -> Iterator[IPv4Address]:
    isatap = int(address) >> 32 & 0xFDFFFFFF == 0x5EFE
    if isatap or address in _LOCAL_NAT64:
        yield _embedded(address, 0, 0)


def _embedded(address: IPv6Address, shift: int, invert: int) -> IPv4Address:
    return IPv4Address((int(address) >> shift & 0xFFFFFFFF) ^ invert)
