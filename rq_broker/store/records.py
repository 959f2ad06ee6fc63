"""Reads records of Redis into frozen values, and renders them as stored; see keys.py."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

import orjson
from msgspec.structs import replace

from rq_broker.domain.capacity import STALE_INTERVALS, Host, SourceState
from rq_broker.domain.correlation import Correlation
from rq_broker.domain.deliveries import Attempt, Destination
from rq_broker.domain.jobs import BESIDE, Job, Shape, Status
from rq_broker.domain.names import request_id_in
from rq_broker.domain.offers import OFFER
from rq_broker.domain.planning import Head, Promise, WaitingShape
from rq_broker.domain.sharing import Average
from rq_broker.domain.terms import Terms
from rq_broker.store import device_records
from rq_broker.store.keys import fold, job_of, member, unfold
from rq_broker.store.versions import version_of

log = logging.getLogger(__name__)

_Value = TypeVar("_Value")


def readable(read: Callable[[Any], _Value], entries: Iterable[Any]) -> list[_Value]:
    """Read entries one by one; a damaged one is logged and left out, so that it stops nothing."""
    values = []
    for entry in entries:
        try:
            values.append(read(entry))
        except (ValueError, KeyError, TypeError, IndexError) as error:
            log.error("skipping a damaged record in Redis: %.200r: %r", entry, error)
    return values


def pairs(flat: Sequence[str] | Mapping[str, str]) -> dict[str, str]:
    """Make a dict of field, value, …; a dict, as some clients answer HGETALL, stays as it is."""
    if isinstance(flat, Mapping):
        return dict(flat)
    return dict(zip(flat[::2], flat[1::2], strict=True))


def job(
    type_: str,
    request_id: str,
    priority: str,
    position: int | None,
    fields: Mapping[str, str],
    *,
    clock_offset: int = 0,
) -> Job:
    """Read a job.

    Args:
        type_: The type.
        request_id: The client's name for it.
        priority: Its score, in decimal digits.
        position: Its place in the queue, 1 = next; None unless it is queued.
        fields: Its hash.
        clock_offset: ms by which the type's clock is ahead of the wall clock.
    """
    is_beside = fields["status"] == BESIDE
    return Job(
        id=int(fields["id"]),
        type=type_,
        request_id=request_id,
        owner_id=fields["owner"],
        data=unfold(fields, "data"),
        callback=unfold(fields, "callback"),
        priority=int(priority),
        status=Status.QUEUED if is_beside else Status(fields["status"]),
        created=int(fields["created"]),
        updated=int(fields.get("updated", fields["created"])),
        shape=fields["shape"],
        position=position,
        hosts=tuple(orjson.loads(fields.get("hosts", "[]"))),
        devices=device_records.choices(fields.get("devices", "")),
        fence=_whole_or_none(fields, "fence"),
        attempts=int(fields.get("attempts", 0)) - int(fields.get("released", 0)),
        error=fields.get("error"),
        expected=int(fields["expected"]) / 1000 if "expected" in fields else None,
        destination=fields.get("destination", ""),
        offer_ends=_offer_ends(fields, clock_offset),
        incarnation=fields.get("incarnation", ""),
        cause=fields.get("cause", ""),
        trouble=_trouble(fields),
        terms=terms(fields),
        is_beside=is_beside,
        left=int(fields.get("left", 0)),
        alternative=_whole_or_none(fields, "alternative"),
        correlation=_correlation(fields),
    )


def _whole_or_none(fields: Mapping[str, str], name: str) -> int | None:
    return int(fields[name]) if name in fields else None


def read_job(type_: str, request_id: str, reply: Any) -> Job:
    """Read the job of a reply of `read`."""
    read = job(
        type_,
        request_id,
        reply.priority,
        reply.position,
        reply.fields,
        clock_offset=reply.clock_offset,
    )
    return replace(read, version=version_of(reply.priority, reply.fields))


def listed_jobs(type_: str, reply: Any) -> tuple[Job, ...]:
    """Read the jobs of a reply of `page` or `page_array`; a damaged one is logged and left out."""

    def listed(row: Any) -> Job:
        return job(
            type_,
            row.request_id,
            row.priority,
            row.position,
            row.fields,
            clock_offset=reply.clock_offset,
        )

    return tuple(readable(listed, reply.jobs))


def _offer_ends(fields: Mapping[str, str], clock_offset: int) -> int | None:
    """Return when the offer of a job ends by the wall clock, µs; None without offer or end."""
    ends = fields.get("offer_ends")
    if not ends or fields.get("destination") != OFFER:
        return None
    return (int(ends) - clock_offset) * 1000


def _trouble(fields: Mapping[str, str]) -> str:
    if "hold_lost" in fields:
        return "hold_lost"
    return "server_unseen" if "missed_by" in fields else ""


def _correlation(fields: Mapping[str, str]) -> Correlation | None:
    """Read what a job's submit said of itself; it was written by anybody, and is checked again."""
    if "http_request_id" not in fields and "traceparent" not in fields:
        return None
    return Correlation.read(
        unfold(fields, "http_request_id"),
        unfold(fields, "traceparent"),
        unfold(fields, "tracestate"),
    )


def correlation_pairs(correlation: Correlation | None) -> list[str]:
    """Render what a submit says of itself as field, value, … of the hash of its job."""
    if correlation is None:
        return []
    texts = {
        "http_request_id": correlation.http_request_id,
        "traceparent": correlation.traceparent,
        "tracestate": correlation.tracestate,
    }
    return [part for name, text in texts.items() if text for part in fold(name, text)]


_TERMS = ("not_before", "give_up_after", "hold_at_most", "after", "after_any")


def terms(fields: Mapping[str, str]) -> Terms | None:
    """Read a job's own terms, None if it has none."""
    if fields.keys().isdisjoint(_TERMS):
        return None
    give_up_after, hold_at_most = fields.get("give_up_after"), fields.get("hold_at_most")
    awaited = fields.get("after")
    return Terms(
        not_before=int(fields["not_before"]) if "not_before" in fields else None,
        give_up_after=int(give_up_after) / 1000 if give_up_after else None,
        hold_at_most=int(hold_at_most) / 1000 if hold_at_most else None,
        after=tuple(request_id_in(job_of(name)[1]) for name in awaited.split("\n"))
        if awaited
        else (),
        after_any="after_any" in fields,
    )


def terms_pairs(terms: Terms) -> list[str]:
    """Render a job's own terms, but for `after`, as field, value, … of its hash."""
    pairs = []
    if terms.not_before is not None:
        pairs += ["not_before", str(terms.not_before)]
    if terms.give_up_after is not None:
        pairs += ["give_up_after", str(milliseconds(terms.give_up_after))]
    if terms.hold_at_most is not None:
        pairs += ["hold_at_most", str(milliseconds(terms.hold_at_most))]
    return [*pairs, "after_any", "1"] if terms.after_any else pairs


def milliseconds(seconds: float) -> int:
    """Return whole ms of a span above 0 that stay above 0."""
    return max(1, round(seconds * 1000))


def milliseconds_or_none(seconds: float | None) -> int | None:
    """Return the same of a span that may be missing."""
    return None if seconds is None else milliseconds(seconds)


def host(name: str, fields: Mapping[str, str]) -> Host:
    """Read a host hash."""
    kinds = ("capacity", "used", "held", "max_unit", "min_unit", "step_size")
    amounts: dict[str, dict[str, int]] = {kind: {} for kind in kinds}
    for field, text in fields.items():
        kind, _, resource = field.partition(":")
        if resource:
            amounts[kind][resource] = int(text)
    return Host(
        name,
        **device_records.host_fields(amounts),
        aggregates=frozenset(orjson.loads(fields.get("aggregates", "[]"))),
        dropped="dropped" in fields,
        source=fields.get("source", ""),
        publisher=fields.get("publisher", ""),
        traits=_traits(fields["traits"]) if "traits" in fields else frozenset(),
        anywhere="anywhere" in fields,
    )


@lru_cache(1024)
def _traits(text: str) -> frozenset[str]:
    """Read a host's traits: hosts of one model have equal ones, a hundred or more."""
    return frozenset(orjson.loads(text))


def host_pairs(host: Host) -> list[str]:
    """Render what a host has, is like and lets an instance have as field, value, … of its hash."""
    kinds = {
        "capacity": device_records.stored_capacity(host),
        "used": device_records.stored_used(host),
        "max_unit": host.max_unit,
        "min_unit": host.min_unit,
        "step_size": host.step_size,
    }
    pairs = [
        text
        for kind, amounts in kinds.items()
        for resource, amount in amounts.items()
        for text in (f"{kind}:{resource}", str(amount))
    ]
    if host.traits:
        pairs += ("traits", orjson.dumps(sorted(host.traits)).decode())
    if host.anywhere:
        pairs += ("anywhere", "1")
    return pairs


def published_pairs(fields: Mapping[str, str]) -> list[str]:
    """Return what of a host's hash its publisher gives, as field, value, …"""
    return [
        text
        for field, value in fields.items()
        if not field.startswith("held:") and field != "mixed"
        for text in (field, value)
    ]


def aggregates_text(host: Host) -> str:
    """Render a host's aggregates as its hash holds them."""
    return orjson.dumps(sorted(host.aggregates)).decode()


def waiting(
    row: Any, shape: Shape, until: Mapping[str, float]
) -> tuple[WaitingShape, dict[str, float]]:
    """Read a row of `heads`, and which of its jobs were first passed when, seconds since 1970.

    `until`: member → until when the job prefers its first alternative, seconds since 1970.
    """
    own = set(row.own)
    heads = tuple(
        Head(*job_of(name), int(priority), name in own, until.get(name, 0.0))
        for name, priority in row.heads.items()
    )
    passed = {job_of(name)[1]: int(since) / 1000 for name, since in row.passed.items()}
    return WaitingShape(row.shape, shape, heads, row.count), passed


def amounts_by_host(fields: Mapping[str, str]) -> dict[str, dict[str, int]]:
    """Read <host>/<resource> → amount: host → resource → amount."""
    hosts: dict[str, dict[str, int]] = {}
    for field, amount in fields.items():
        host_name, _, resource = field.partition("/")
        hosts.setdefault(host_name, {})[resource] = int(amount)
    return hosts


def usage(fields: Mapping[str, str]) -> dict[str, dict[str, int]]:
    """Read the usage hash: owner → resource → amount."""
    owners: dict[str, dict[str, int]] = {}
    for field, amount in fields.items():
        resource, _, owner = field.partition("/")
        owners.setdefault(owner, {})[resource] = int(amount)
    return owners


def past_usage(fields: Mapping[str, str]) -> dict[str, dict[str, Average]]:
    """Read the past usage: owner → resource → average."""
    owners: dict[str, dict[str, Average]] = {}
    for field, text in fields.items():
        resource, _, owner = field.partition("/")
        amount, since = text.split(" ")
        owners.setdefault(owner, {})[resource] = Average(float(amount), int(since) / 1000)
    return owners


def promises(text: str) -> tuple[Promise, ...]:
    """Read the promises of the base hash; the empty text has none."""
    return tuple(readable(_promise, orjson.loads(text) if text else ()))


def _promise(row: Any) -> Promise:
    promised, start, made, hosts = row
    return Promise(*job_of(promised), float(start), float(made), frozenset(hosts))


def promises_text(values: Iterable[Promise]) -> str:
    """Render promises as the base hash holds them, '' for none."""
    rows = [
        (member(value.job_id, value.request_id), value.start, value.made, sorted(value.hosts))
        for value in values
    ]
    return orjson.dumps(rows).decode() if rows else ""


def kept(text: str) -> dict[str, dict[str, int]]:
    """Read what reservations keep: host → resource → amount; the empty text has none."""
    return orjson.loads(text) if text else {}


def kept_text(amounts: Mapping[str, Mapping[str, int]]) -> str:
    """Render what reservations keep as the base hash holds it, '' for nothing."""
    return orjson.dumps(amounts, option=orjson.OPT_SORT_KEYS).decode() if amounts else ""


def attempt(entry: tuple[str, Sequence[str]]) -> Attempt:
    """Read an entry of an attempts stream: its ID is the time in ms, and a sequence."""
    entry_id, flat = entry
    fields = pairs(flat)
    return Attempt(
        ended=int(entry_id.partition("-")[0]) * 1000,
        fence=int(fields["fence"]),
        attempt=int(fields["attempt"]),
        cause=fields["cause"],
        milliseconds=int(fields["milliseconds"]),
    )


def destination(now: int, row: Any) -> Destination:
    """Read one row of the script `destinations`; `now` in ms."""
    fields = row.fields
    open_until = int(fields.get("open_until", 0))
    asked_until = int(fields.get("asked_until", 0))
    state = "closed" if not open_until else "open" if open_until > now else "half-open"
    return Destination(
        name=row.destination,
        owner=row.owner,
        state=state,
        failures=int(fields.get("failures", 0)),
        opens_for=max(0, open_until - now) / 1000 if open_until else 0.0,
        asked_for=max(0, asked_until - now) / 1000,
        in_flight=row.in_flight,
        parked=row.parked,
    )


def source_state(now: int, row: Any) -> SourceState:
    """Read one row of the script `sources`; `now` in ms."""
    fields = row.fields
    since = int(fields.get("begun", fields.get("since", now)))
    return SourceState(
        name=row.source,
        age=(now - since) / 1000 if "begun" in fields else None,
        stale=now - since > STALE_INTERVALS * int(fields.get("interval", 0)),
        hosts=int(fields.get("hosts", 0)),
        clashes=int(fields.get("clashes", 0)),
        clashing=fields.get("clashing", ""),
        cause=fields.get("cause", ""),
        text=fields.get("text", ""),
    )
