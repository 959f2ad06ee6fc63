"""Checks what a source returned: it may be anybody's code, and a service may answer anything.

A host that cannot be used keeps its last good state, and the source is in trouble as long as it
reports it. A snapshot that cannot be used as a whole counts as a failed attempt.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from rq_broker.domain.capacity import BAD_HOSTS, UNREAD, Host, checked
from rq_broker.domain.errors import Invalid
from rq_broker.domain.validation import MAX_WHOLE, NAME, whole_number
from rq_broker.sources.failures import Faulty
from rq_broker.sources.source import SourceSnapshot

MAX_HOSTS = 100_000
"""Hosts of one snapshot. It ends a source whose iterator never does."""
_NAMED = 3
"""Bad hosts that a sentence names before it counts the others."""
_NAME_SHOWN = 60
"""Characters of a host's name in a sentence: a name that is refused may be of any length."""

Shares = Mapping[str, Mapping[tuple[str, str], int]]


@dataclass(frozen=True, slots=True)
class CheckedSnapshot:
    """A snapshot of which every part can be stored."""

    hosts: Mapping[str, Host]
    """By name."""
    bad_hosts: Mapping[str, str]
    """Name of a host that keeps its last good state → what is wrong with what was reported."""
    unnamed: str
    """What is wrong with a host whose name cannot be told, '' if there is none. Any host that the
    snapshot lacks may be this one, so none is taken out of service."""
    consumers: Shares
    sequence: int
    left_out: Mapping[str, str]
    """Name of a host → what the source left out of it."""
    unread: Mapping[str, str]
    """What the source could not read → why, and what holds instead."""
    out_of_service: Mapping[str, str]
    """Name of a host that takes no new work → why, as far as the source tells."""

    @property
    def cause(self) -> str:
        """Return the cause of the trouble in a word; '' if there is none."""
        if self.bad_hosts or self.left_out or self.unnamed:
            return BAD_HOSTS
        return UNREAD if self.unread else ""

    @property
    def troubles(self) -> list[str]:
        """What could not be read, and the hosts that cannot be used, each in a sentence."""
        texts = [
            f"host {name[:_NAME_SHOWN]} keeps its last good state: {text}"
            for name, text in islice(self.bad_hosts.items(), _NAMED)
        ]
        if more := len(self.bad_hosts) - len(texts):
            texts.append(f"{more} more hosts keep theirs")
        texts += [
            f"host {name[:_NAME_SHOWN]}: {text}"
            for name, text in islice(self.left_out.items(), _NAMED)
        ]
        if (more := len(self.left_out) - _NAMED) > 0:
            texts.append(f"something is left out of {more} more hosts")
        if self.unnamed:
            texts.append(f"no host is taken out of service: {self.unnamed}")
        texts += [f"{part} cannot be read: {text}" for part, text in self.unread.items()]
        return texts

    @property
    def trouble(self) -> str:
        """All troubles in one line; '' if there is none."""
        return "; ".join(self.troubles)


def check_snapshot(snapshot: object, last: Mapping[str, Host]) -> CheckedSnapshot:
    """Check what a source returned.

    Args:
        snapshot: What it returned.
        last: The hosts that were good in its last snapshot. One that did not change since is not
            checked again.

    Raises:
        Faulty: It is no snapshot, or its consumers or its sequence cannot be read.
    """
    if not isinstance(snapshot, SourceSnapshot):
        raise Faulty(f"the source returned {_kind(snapshot)}, not a SourceSnapshot")
    hosts: dict[str, Host] = {}
    bad_hosts = dict(_texts_by_name(snapshot.bad_hosts, "bad_hosts"))
    unnamed = ""
    for reported in _listed(snapshot.hosts):
        name = reported.name if isinstance(reported, Host) else None
        if not isinstance(name, str) or not name:
            unnamed = f"a host is {_kind(reported)} without a name"
            continue
        try:
            host = _good(reported, last.get(name))
        except Exception as error:  # a field may be an object of any class
            bad_hosts[name] = _text(error)
            continue
        if hosts.setdefault(name, host) != host:
            bad_hosts[name] = "it is listed twice, with different figures"
    for name in bad_hosts:
        hosts.pop(name, None)
    return CheckedSnapshot(
        hosts,
        bad_hosts,
        unnamed,
        _shares(snapshot.consumers),
        _sequence(snapshot.sequence),
        dict(_texts_by_name(snapshot.left_out, "left_out")),
        dict(_texts_by_name(snapshot.unread, "unread")),
        dict(_texts_by_name(snapshot.out_of_service, "out_of_service")),
    )


def _listed(hosts: Any) -> Iterator[Any]:
    if isinstance(hosts, str | bytes | Mapping) or not isinstance(hosts, Iterable):
        raise Faulty(f"the source's hosts are {_kind(hosts)}, not a tuple of Host")
    for number, host in enumerate(hosts):
        if number == MAX_HOSTS:
            raise Faulty(f"the source lists more than {MAX_HOSTS} hosts")
        yield host


def _good(host: Host, last: Host | None) -> Host:
    """Return a copy of a host that the source cannot change; its last one where it is equal."""
    if last is not None and last == host:
        return last
    checked(host)
    return replace(
        host,
        capacity=dict(host.capacity),
        used=dict(host.used),
        max_unit=dict(host.max_unit),
        min_unit=dict(host.min_unit),
        step_size=dict(host.step_size),
        devices={name: tuple(sizes) for name, sizes in host.devices.items()},
        device_used={name: tuple(used) for name, used in host.device_used.items()},
    )


def _texts_by_name(reported: Any, place: str) -> Iterator[tuple[str, str]]:
    if not isinstance(reported, Mapping):
        raise Faulty(f"the source's {place} are {_kind(reported)}, not a mapping")
    for name, text in reported.items():
        yield str(name), str(text)


def _shares(consumers: Any) -> Shares:
    """Return the consumers if each amount can be read: `used` contains what they have."""
    if not isinstance(consumers, Mapping):
        raise Faulty(f"the source's consumers are {_kind(consumers)}, not a mapping")
    for consumer, share in consumers.items():
        if not isinstance(consumer, str) or not isinstance(share, Mapping):
            raise Faulty(f"a consumer must be a name with a mapping, not {consumer!r:.60}")
        for place, amount in share.items():
            _check_share(consumer, place, amount)
    return consumers


def _check_share(consumer: str, place: Any, amount: Any) -> None:
    match place:
        case (str(), str()) if isinstance(place, tuple):
            pass
        case _:
            raise Faulty(f"consumer {consumer:.60} has {place!r:.60}, not a host and a resource")
    try:
        whole_number(amount, f"what consumer {consumer:.60} uses of {'/'.join(place):.60}")
    except (Invalid, TypeError) as error:
        raise Faulty(str(error)) from None


def _sequence(sequence: Any) -> int:
    if type(sequence) is not int or not 0 <= sequence <= MAX_WHOLE:
        raise Faulty(f"the snapshot's sequence is {sequence!r:.60}, not a whole number")
    return sequence


def _kind(value: object) -> str:
    return "None" if value is None else f"of the class {type(value).__name__}"


def _text(error: Exception) -> str:
    return str(error) if isinstance(error, Invalid) else f"{type(error).__name__}: {error}"


def storable(names: Iterable[str]) -> list[str]:
    """Return the names that a host can have: only such a host can have a state to keep."""
    return [name for name in names if not NAME.problem(name)]
