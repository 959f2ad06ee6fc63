"""Where callbacks may go: pure rules, asked at submit (the URL) and at the dial (the address).

Private networks are open, for this runs in private clouds. Public ones open by CIDR or by name.
Everything special (see networks) opens only by listing that network itself or a part of it, so
`0.0.0.0/0` never opens loopback. Deny wins, and our own Redis and API stay closed whatever is
listed. The dial has the last word; the submit only refuses what could never pass it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network

from rq_broker.domain.errors import CallbackForbidden, Invalid
from rq_broker.egress import url as target
from rq_broker.egress.networks import Address, Network, faces, home
from rq_broker.egress.url import Target

_LOOPBACKS = (ip_address("127.0.0.1"), ip_address("::1"))


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an address may be dialled, and the class word that says why."""

    allowed: bool
    why: str


@dataclass(frozen=True, slots=True)
class Listed:
    """One side of the rules: networks, and names (`hooks.lab` or, for all below it, `*.lab`)."""

    networks: tuple[Network, ...] = ()
    names: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, option: str, texts: Iterable[str]) -> Listed:
        """Read CIDRs, addresses and names; raises Invalid naming `option` and the entry."""
        networks: list[Network] = []
        names: set[str] = set()
        for text in filter(None, map(str.strip, texts)):
            try:
                networks.append(ip_network(text))
            except ValueError as error:
                names.add(_pattern(option, text, error))
        return cls(tuple(networks), frozenset(names))

    def holds(self, address: Address) -> bool:
        """Is the address in one of the networks?"""
        return any(address in network for network in self.networks)

    def names_host(self, host: str) -> bool:
        """Is the host named, itself or by a pattern above it?"""
        if host in self.names:
            return True
        labels = host.split(".")
        return any(f"*.{'.'.join(labels[cut:])}" in self.names for cut in range(1, len(labels)))


def _pattern(option: str, text: str, error: ValueError) -> str:
    star, bare = ("*.", text[2:]) if text.startswith("*.") else ("", text)
    try:
        host, address = target.parse_host(bare)
    except CallbackForbidden:
        address, host = None, ""
    if not host or address or "/" in text:
        raise Invalid(f"{option}: {text!r} is neither a network nor a host name: {error}")
    return star + host


# Compared and hashed by identity: one lives as long as the process, and is a key of two caches.
@dataclass(frozen=True, eq=False, slots=True)
class Egress:
    """The rules of one broker. Build them with `of`."""

    allow: Listed = Listed()
    deny: Listed = Listed()
    ports: frozenset[int] = frozenset()
    """Empty: every port."""
    ours: frozenset[tuple[Address, int]] = frozenset()
    """Where our Redis and API listen. `0.0.0.0` or `::` stand for every address of this machine:
    here that is loopback, and the sender knows the rest, see `everywhere`."""

    @classmethod
    def of(
        cls,
        *,
        allow: Iterable[str] = (),
        deny: Iterable[str] = (),
        ports: Iterable[int] = (),
        ours: Iterable[tuple[str, int]] = (),
    ) -> Egress:
        """Build the rules from settings; `ours` are (address, port). Raises Invalid."""
        own = {(face, port) for text, port in ours for face in faces(ip_address(text))}
        return cls(
            Listed.parse("callback-allow", allow),
            Listed.parse("callback-deny", deny),
            frozenset(ports),
            frozenset(own),
        )

    @property
    def everywhere(self) -> frozenset[int]:
        """The ports at which we listen on every address of this machine."""
        return frozenset(port for address, port in self.ours if _unspecified(address))

    def permits(self, address: Address, port: int, host: str = "") -> Verdict:
        """Judge one address about to be dialled, on behalf of the name `host` if it has one."""
        if self.ports and port not in self.ports:
            return Verdict(False, "port")
        if self.deny.names_host(host) or self.deny.holds(address):
            return Verdict(False, "denied")
        verdicts = [self._face(face, port, host) for face in faces(address)]
        return next((verdict for verdict in verdicts if not verdict.allowed), verdicts[0])

    def _face(self, face: Address, port: int, host: str) -> Verdict:
        network, kind = home(face)
        if self._is_ours(face, port, kind):
            return Verdict(False, "ours")
        if self.deny.holds(face):
            return Verdict(False, "denied")
        if kind == "private":
            return Verdict(True, kind)
        if kind == "public":
            return Verdict(self.allow.holds(face) or self.allow.names_host(host), kind)
        return Verdict(any(_within(one, network, face) for one in self.allow.networks), kind)

    def _is_ours(self, face: Address, port: int, kind: str) -> bool:
        listening = [address for address, at in self.ours if at == port]
        if kind == "unspecified":  # the kernel takes a dial to 0.0.0.0 or :: to loopback
            return any(home(one)[1] in ("unspecified", "loopback") for one in listening)
        return face in listening or (kind == "loopback" and any(map(_unspecified, listening)))

    def check_url(self, url: str) -> Target:
        """Read a callback's URL as it will be dialled.

        Raises CallbackForbidden if it is malformed or could never be dialled.
        """
        scheme, authority, path = target.split(url)
        host, destination = _judged(self, scheme, authority)
        return Target(host, destination, f"{destination}{path}")


@lru_cache(maxsize=8192)
def _judged(egress: Egress, scheme: str, authority: str) -> tuple[str, str]:
    """Return the host and the destination that `authority` names. Raises CallbackForbidden."""
    host, address, port = target.parse_authority(scheme, authority)
    name = "" if address else host
    verdict = _prospect(egress, name, address, port)
    if not verdict.allowed:
        place = "port" if verdict.why == "port" else f"host ({verdict.why})"
        raise CallbackForbidden(f"callback {authority!r}: calls to this {place} are not allowed")
    shown = f"[{address}]" if isinstance(address, IPv6Address) else host
    return host, f"{scheme}://{shown}:{port}"


def _prospect(egress: Egress, name: str, address: Address | None, port: int) -> Verdict:
    """Judge as far as is possible without a look-up."""
    if address:
        return egress.permits(address, port)
    if name == "localhost" or name.endswith(".localhost"):  # RFC 6761: loopback, by definition
        verdicts = [egress.permits(loopback, port, name) for loopback in _LOOPBACKS]
        return max(verdicts, key=lambda verdict: verdict.allowed)
    if egress.ports and port not in egress.ports:
        return Verdict(False, "port")
    return Verdict(not egress.deny.names_host(name), "denied")


def _unspecified(address: Address) -> bool:
    return int(address) == 0


def _within(listed: Network, special: Network, face: Address) -> bool:
    """Does `listed` hold `face` and name the special network itself, or a part of it?"""
    return face in listed and listed.prefixlen >= special.prefixlen
