"""Says which kind of network an address belongs to, and which addresses it can stand for.

The tables are our own, from the IANA special-purpose registries and the cloud providers' manuals,
because `ipaddress` classifies differently: it says that ::ffff:169.254.169.254 is not link-local,
and that the same address behind a NAT64 prefix is global.
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
from typing import NamedTuple

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class ClassifiedNetwork(NamedTuple):
    """A network of the tables and its kind: public, private, loopback, metadata, …"""

    network: Network
    kind: str


class Embedding(NamedTuple):
    """Where an IPv6 address carries an IPv4 address: 32 bits, `shift` bits above the lowest."""

    shift: int
    inverted: bool = False


_NETWORKS_BY_KIND = {
    "public": "0.0.0.0/0 2000::/3",
    "private": "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7",
    "unspecified": "0.0.0.0/8 ::/128",
    "loopback": "127.0.0.0/8 ::1/128",
    "link_local": "169.254.0.0/16 fe80::/10 fec0::/10",
    "shared": "100.64.0.0/10",
    "multicast": "224.0.0.0/4 ff00::/8",
    "reserved": "192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 198.18.0.0/15 198.51.100.0/24"
    " 203.0.113.0/24 240.0.0.0/4 2001::/23 2001:db8::/32 3fff::/20"
    # Everything outside 2000::/3, in pieces, so that allowing ::/0 does not open it.
    " ::/3 4000::/2 8000::/1 64:ff9b:1::/48 100::/64 5f00::/16",
    # AWS (instance, ECS, EKS, DNS, time), GCP, Azure's WireServer, Alibaba, Tencent, Oracle,
    # Scaleway. Each is a network of its own, so allowing a network around it does not open it.
    "metadata": "169.254.169.254/32 169.254.170.2/32 169.254.170.23/32 169.254.169.253/32"
    " 169.254.169.123/32 168.63.129.16/32 100.100.100.200/32 169.254.0.23/32 192.0.0.192/32"
    " 169.254.42.42/32 fd00:ec2::/32 fd20:ce::254/128 fd00:c1::a9fe:a9fe/128 fd00:42::42/128",
}

_NARROWEST_FIRST = sorted(
    (
        ClassifiedNetwork(ip_network(text), kind)
        for kind, texts in _NETWORKS_BY_KIND.items()
        for text in texts.split()
    ),
    key=lambda entry: -entry.network.prefixlen,
)

_LOWEST_32_BITS = (Embedding(0),)
_EMBEDDINGS_BY_PREFIX: dict[IPv6Network, tuple[Embedding, ...]] = {
    IPv6Network("::/96"): _LOWEST_32_BITS,  # IPv4-compatible
    IPv6Network("::ffff:0:0/96"): _LOWEST_32_BITS,  # IPv4-mapped
    IPv6Network("::ffff:0:0:0/96"): _LOWEST_32_BITS,  # IPv4-translated
    IPv6Network("64:ff9b::/96"): _LOWEST_32_BITS,  # NAT64
    IPv6Network("2002::/16"): (Embedding(80),),  # 6to4
    IPv6Network("2001::/32"): (Embedding(64), Embedding(0, inverted=True)),  # Teredo server, client
}
"""Prefixes whose addresses always stand for the IPv4 addresses they carry."""

_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")
_NOT_IPV4_COMPATIBLE = (IPv6Address("::"), IPv6Address("::1"))
"""In ::/96, but special addresses of their own."""


@lru_cache(maxsize=4096)
def network_of(address: Address) -> ClassifiedNetwork:
    """Return the narrowest network of the tables that contains `address`.

    >>> from ipaddress import ip_address
    >>> network_of(ip_address("169.254.169.254")).kind  # not link_local, which surrounds it
    'metadata'
    >>> network_of(ip_address("10.9.8.7"))
    ClassifiedNetwork(network=IPv4Network('10.0.0.0/8'), kind='private')
    """
    return next(entry for entry in _NARROWEST_FIRST if address in entry.network)


@lru_cache(maxsize=4096)
def effective_addresses(address: Address) -> tuple[Address, ...]:
    """Return every address that a packet sent to `address` may reach.

    That is the address itself, or the IPv4 addresses it carries. For local NAT64 (RFC 8215) and
    ISATAP it is both, because only the network's operator knows whether they are translated.

    >>> from ipaddress import ip_address
    >>> effective_addresses(ip_address("::ffff:10.0.0.7"))
    (IPv4Address('10.0.0.7'),)
    >>> effective_addresses(ip_address("64:ff9b:1::a00:7"))
    (IPv6Address('64:ff9b:1::a00:7'), IPv4Address('10.0.0.7'))
    """
    if isinstance(address, IPv4Address):
        return (address,)
    for prefix, embeddings in _EMBEDDINGS_BY_PREFIX.items():
        if address in prefix and address not in _NOT_IPV4_COMPATIBLE:
            return tuple(_embedded(address, embedding) for embedding in embeddings)
    return (address, *_possibly_embedded(address))


def _possibly_embedded(address: IPv6Address) -> Iterator[IPv4Address]:
    is_isatap = int(address) >> 32 & 0xFDFFFFFF == 0x5EFE
    if is_isatap or address in _LOCAL_NAT64:
        yield _embedded(address, Embedding(0))


def _embedded(address: IPv6Address, embedding: Embedding) -> IPv4Address:
    bits = int(address) >> embedding.shift & 0xFFFFFFFF
    return IPv4Address(bits ^ 0xFFFFFFFF if embedding.inverted else bits)
