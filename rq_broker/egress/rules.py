"""Decides where callbacks may go: at submit by the URL, at dial by the address.

Private networks are open, because the broker runs in private clouds. A public network opens by
CIDR or by name. A special network (see networks) opens only if the network itself or a part of it
is allowed: `0.0.0.0/0` never opens loopback. Deny wins over allow, and the broker's own Redis and
API are always closed. The submit refuses only what the dial would certainly refuse as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from itertools import chain

from rq_broker.domain.errors import CallbackForbidden, Invalid
from rq_broker.egress.networks import Address, Network, effective_addresses, network_of
from rq_broker.egress.url import Target, parse_authority, parse_host, split_url

_LOOPBACKS = (ip_address("127.0.0.1"), ip_address("::1"))


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an address may be dialled, and the word for the reason."""

    allowed: bool
    reason: str
    """The kind of network, or port, denied, own_service."""


@dataclass(frozen=True, slots=True)
class AddressList:
    """The networks and the host names of one option: what is allowed, or what is denied.

    >>> lab = AddressList.parse("callback-allow", ["10.1.0.0/16", "hooks.test", "*.lab.test"])
    >>> lab.contains(ip_address("10.1.2.3"))
    True
    >>> lab.matches("hooks.test"), lab.matches("vm7.lab.test"), lab.matches("lab.test")
    (True, True, False)
    """

    networks: tuple[Network, ...] = ()
    names: frozenset[str] = frozenset()
    """Host names; `*.lab.test` stands for every name below lab.test."""

    @classmethod
    def parse(cls, option: str, entries: Iterable[str]) -> AddressList:
        """Parse CIDRs, addresses and names; raises Invalid naming `option` and the entry."""
        networks: list[Network] = []
        names: set[str] = set()
        for entry in filter(None, map(str.strip, entries)):
            try:
                networks.append(ip_network(entry))
            except ValueError as error:
                names.add(_parse_name(option, entry, error))
        return cls(tuple(networks), frozenset(names))

    @property
    def text(self) -> str:
        """The entries, sorted, as the option takes them."""
        return ",".join(sorted({*map(str, self.networks), *self.names}))

    def contains(self, address: Address) -> bool:
        """Whether one of the networks contains the address."""
        return any(address in network for network in self.networks)

    def matches(self, host: str) -> bool:
        """Whether the host is listed by its name or by a `*.` entry above it."""
        if host in self.names:
            return True
        labels = host.split(".")
        parents = (".".join(labels[start:]) for start in range(1, len(labels)))
        return any(f"*.{parent}" in self.names for parent in parents)


def _parse_name(option: str, entry: str, error: ValueError) -> str:
    star, bare = ("*.", entry[2:]) if entry.startswith("*.") else ("", entry)
    try:
        host, address = parse_host(bare)
    except CallbackForbidden:
        host, address = "", None
    if not host or address or "/" in entry:
        reason = str(error).replace(repr(entry), "").replace(entry, "").strip()
        why = "" if reason.startswith("does not appear") else f": it {reason}"
        raise Invalid(f"{option}: {entry!r} is neither a network nor a host name{why}")
    return star + host


# Compared and hashed by identity: a process has one for its whole life, and it is
# the key of two caches.
@dataclass(frozen=True, eq=False, slots=True)
class Egress:
    """The egress rules of one broker. Build them with `of`.

    >>> egress = Egress.of(allow=["*.lab.test"], own_listeners=[("127.0.0.1", 6379)])
    >>> egress.check(ip_address("10.0.0.7"), 80)
    Verdict(allowed=True, reason='private')
    >>> egress.check(ip_address("93.184.216.34"), 80)
    Verdict(allowed=False, reason='public')
    >>> egress.check(ip_address("93.184.216.34"), 80, host="hooks.lab.test")
    Verdict(allowed=True, reason='public')
    >>> egress.check(ip_address("::ffff:127.0.0.1"), 6379)
    Verdict(allowed=False, reason='own_service')
    """

    allow: AddressList = AddressList()
    deny: AddressList = AddressList()
    ports: frozenset[int] = frozenset()
    """The ports that may be dialled; empty: every port."""
    own_listeners: frozenset[tuple[Address, int]] = frozenset()
    """Address and port where the broker's own Redis and API listen. `0.0.0.0` and `::` stand for
    every address of this machine: here for loopback, at the dial for the rest (see
    `wildcard_ports`)."""
    later_listeners: set[tuple[Address, int]] = field(default_factory=set)
    """The same, of servers that joined since: see `close_listeners`. None is ever opened again."""

    @classmethod
    def of(
        cls,
        *,
        allow: Iterable[str] = (),
        deny: Iterable[str] = (),
        ports: Iterable[int] = (),
        own_listeners: Iterable[tuple[str, int]] = (),
    ) -> Egress:
        """Build the rules from settings. Raises Invalid for an entry that is neither CIDR nor name.

        Args:
            allow: CIDRs and names to open beside the private networks.
            deny: CIDRs and names to close, whatever `allow` says.
            ports: the only ports to open; empty: all.
            own_listeners: (address, port) of the broker's own Redis and API.
        """
        return cls(
            AddressList.parse("--callback-allow", allow),
            AddressList.parse("--callback-deny", deny),
            frozenset(ports),
            frozenset(_listeners(own_listeners)),
        )

    @property
    def options(self) -> str:
        """The options that made the rules, as a text that is equal where they are."""
        texts = {
            "--callback-allow": self.allow.text,
            "--callback-deny": self.deny.text,
            "--callback-ports": ",".join(map(str, sorted(self.ports))),
        }
        return " ".join(f"{option} {text}" for option, text in texts.items() if text)

    def close_listeners(self, listeners: Iterable[tuple[str, int]]) -> None:
        """Close (address, port) of the servers that Redis has now, besides earlier ones."""
        before = len(self.later_listeners)
        self.later_listeners.update(_listeners(listeners))
        if len(self.later_listeners) > before:
            _check_authority.cache_clear()

    @property
    def wildcard_ports(self) -> frozenset[int]:
        """The ports on which the broker listens at every address of this machine."""
        return frozenset(port for address, port in self.own_listeners if _is_unspecified(address))

    def check(self, address: Address, port: int, host: str = "") -> Verdict:
        """Decide whether an address may be dialled; `host` is the name that resolved to it, if any.

        An address that carries others is allowed only if all its effective addresses are.
        """
        if self.ports and port not in self.ports:
            return Verdict(False, "port")
        if self.deny.matches(host) or self.deny.contains(address):
            return Verdict(False, "denied")
        verdicts = [
            self._check_effective(effective, port, host)
            for effective in effective_addresses(address)
        ]
        return next((verdict for verdict in verdicts if not verdict.allowed), verdicts[0])

    def _check_effective(self, address: Address, port: int, host: str) -> Verdict:
        network, kind = network_of(address)
        if self._is_own_service(address, port, kind):
            return Verdict(False, "own_service")
        if self.deny.contains(address):
            return Verdict(False, "denied")
        if kind == "private":
            return Verdict(True, kind)
        if kind == "public":
            return Verdict(self.allow.contains(address) or self.allow.matches(host), kind)
        return Verdict(
            any(_opens(allowed, network, address) for allowed in self.allow.networks), kind
        )

    def _is_own_service(self, address: Address, port: int, kind: str) -> bool:
        listeners = chain(self.own_listeners, self.later_listeners)
        listening = [listener for listener, its_port in listeners if its_port == port]
        if kind == "unspecified":  # the kernel takes a dial to 0.0.0.0 or :: to loopback
            kinds = {network_of(listener).kind for listener in listening}
            return not kinds.isdisjoint({"unspecified", "loopback"})
        if kind == "loopback" and any(map(_is_unspecified, listening)):
            return True
        return address in listening

    def check_url(self, url: str) -> Target:
        """Parse a callback's URL into what will be dialled.

        Raises CallbackForbidden if the URL is malformed, or if no dial of it could be allowed.
        """
        scheme, authority, path = split_url(url)
        host, destination = _check_authority(self, scheme, authority)
        return Target(host, destination, f"{destination}{path}")


def _listeners(listeners: Iterable[tuple[str, int]]) -> Iterator[tuple[Address, int]]:
    for text, port in listeners:
        for address in effective_addresses(ip_address(text)):
            yield address, port


@lru_cache(maxsize=8192)
def _check_authority(egress: Egress, scheme: str, authority: str) -> tuple[str, str]:
    """Return the host and the destination that `authority` names. Raises CallbackForbidden."""
    host, address, port = parse_authority(scheme, authority)
    name = "" if address else host
    verdict = _check_before_lookup(egress, name, address, port)
    if not verdict.allowed:
        raise CallbackForbidden(f"callback {authority!r}: calls to {_forbidden(verdict.reason)}")
    shown = f"[{address}]" if isinstance(address, IPv6Address) else host
    return host, f"{scheme}://{shown}:{port}"


def _forbidden(reason: str) -> str:
    """Say what may not be called, and which option says so."""
    match reason:
        case "port":
            return "this port are not allowed: --callback-ports lists those that are"
        case "denied":
            return "this host are not allowed: --callback-deny names it"
        case "own_service":
            return "this host are not allowed: the broker itself, or its Redis, listens there"
    network = reason.replace("_", " ")
    return f"this host are not allowed: its network is {network}, and not in --callback-allow"


def _check_before_lookup(egress: Egress, name: str, address: Address | None, port: int) -> Verdict:
    """Decide as far as that is possible without resolving `name`; the dial decides the rest."""
    if address:
        return egress.check(address, port)
    if name == "localhost" or name.endswith(".localhost"):  # RFC 6761: always loopback
        verdicts = [egress.check(loopback, port, name) for loopback in _LOOPBACKS]
        return max(verdicts, key=lambda verdict: verdict.allowed)
    if egress.ports and port not in egress.ports:
        return Verdict(False, "port")
    return Verdict(not egress.deny.matches(name), "denied")


def _is_unspecified(address: Address) -> bool:
    return int(address) == 0


def _opens(allowed: Network, special: Network, address: Address) -> bool:
    """Whether `allowed` contains `address` and is the special network itself or a part of it."""
    return address in allowed and allowed.prefixlen >= special.prefixlen
