"""What the granter does: read a snapshot of a type, note what a pass decided, commit grants."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import gcd
from typing import Any, NamedTuple

import orjson

from rq_broker.domain.capacity import Host
from rq_broker.domain.deliveries import Delivery
from rq_broker.domain.devices import NO_DEVICES, DeviceChoice, device_name, held_amounts
from rq_broker.domain.figures import Judged
from rq_broker.domain.holding_times import demand_key
from rq_broker.domain.jobs import Demand, Job, Status
from rq_broker.domain.planning import Grant, Head, Promise, WaitingShape
from rq_broker.domain.policy import Policy
from rq_broker.domain.sharing import Average
from rq_broker.domain.traits import Instance, traits_of
from rq_broker.store import device_records, policy_record, records
from rq_broker.store.claims import NO_SLOTS, FreeSlots, claimed
from rq_broker.store.continuity import Continuity, Witness
from rq_broker.store.figures import judged_of
from rq_broker.store.keys import Keys, digest, job_of, member
from rq_broker.store.preferences import prefers_until
from rq_broker.store.runner import Runner
from rq_broker.store.shapes import Shapes


@dataclass(frozen=True, slots=True)
class TypeState:
    """A type at one instant, without its queue; given to `type_state`, only changes are read."""

    hosts: Mapping[str, Host]
    aggregates: Mapping[str, str]
    """Host → the text of its field `aggregates`: a grant holds only while this is unchanged."""
    traits: Mapping[str, str]
    """Host → the text of its field `traits`, '' for none; likewise."""
    policy: Policy
    policy_number: str
    usage: Mapping[str, Mapping[str, int]]
    """Owner → resource → what its jobs hold; filled while the policy shares or limits."""
    past_usage: Mapping[str, Mapping[str, Average]]
    """Owner → resource → what it held on average; filled while the policy shares."""
    promises: tuple[Promise, ...]
    """What jobs with a reservation were first promised."""
    kept: Mapping[str, Mapping[str, int]]
    """What their reservations keep: host → resource → amount."""
    closed: frozenset[str]
    """Receivers that take no grants now."""
    asked: Mapping[str, float]
    """Those of them that asked for time → until when, seconds since 1970."""
    tried: Mapping[str, float]
    """Those of them whose breaker is open → when the next callback is tried, seconds since 1970."""
    failing: frozenset[str]
    """Destinations that take no grants of any owner, in an outage on the broker's side."""
    behind: frozenset[str]
    """Receivers where too many callbacks wait for another grant."""
    epoch: str
    number: str
    incarnation: str
    """The life of its state, as messages of its grants have it; '' where that has no name."""
    judged: Judged
    """How many p90 of forecasts came true."""
    judged_p50: Judged
    """The same of p50."""


@dataclass(frozen=True, slots=True)
class Heads:
    """A window of the waiting shapes, in the order of their first jobs."""

    total: int
    """How many shapes wait in all."""
    waiting: tuple[WaitingShape, ...]
    passed: Mapping[str, float]
    """request_id → when the job was first passed, seconds since 1970; of first jobs only, of all
    and of those with a priority of their own."""


class Committed(NamedTuple):
    """What became of the grants of one call."""

    fences: Sequence[int | None]
    """The fence of each; None when the plan is no longer true, when the policy refuses it, or when
    callbacks of earlier grants have to go out first."""
    deliveries: Sequence[Delivery]
    """The callbacks that were claimed for the caller; those of the others are due."""


class Grants:
    """Type_state, heads, has_waiting, note, grant; where a job stands in the queue."""

    def __init__(self, runner: Runner, shapes: Shapes, continuity: Continuity) -> None:
        self._runner = runner
        self._continuity = continuity
        self._shapes = shapes

    async def type_state(
        self, type_: str, known: TypeState | None = None, *, usage: bool = False
    ) -> TypeState:
        """Read hosts and policy; given a known state, read only the hosts that changed since."""
        remembered = self._continuity.known(type_)
        reply = await self._runner.run(
            "type_state",
            type_,
            epoch=known.epoch if known else None,
            number=known.number if known else 0,
            with_usage=usage,
        )
        await self._continuity.compare_settings(type_, remembered, reply.settings)
        if known and int(reply.number) < int(known.number):  # Redis was restored to an older state
            return await self.type_state(type_, usage=usage)
        hosts, aggregates, traits = _hosts_after(None if reply.is_whole else known, reply.hosts)
        settings = reply.settings
        return TypeState(
            hosts=hosts,
            aggregates=aggregates,
            traits=traits,
            policy=policy_record.policy(settings),
            policy_number=settings.get("policy_number", "0"),
            usage=records.usage(reply.usage),
            past_usage=records.past_usage(reply.past_usage),
            promises=records.promises(settings.get("promises", "")),
            kept=records.kept(settings.get("kept", "")),
            closed=frozenset(reply.closed),
            asked={receiver: int(until) / 1000 for receiver, until in reply.asked.items()},
            tried={receiver: int(until) / 1000 for receiver, until in reply.tried.items()},
            failing=frozenset(reply.failing),
            behind=frozenset(reply.behind),
            epoch=reply.epoch,
            number=reply.number,
            incarnation=settings.get("incarnation", ""),
            judged=judged_of(settings, "forecasts"),
            judged_p50=judged_of(settings, "forecasts_p50"),
        )

    async def heads(
        self,
        type_: str,
        first: int,
        shapes: int,
        jobs: int,
        earliest: int = 0,
        *,
        own: bool = False,
    ) -> Heads:
        """Read the first jobs of some waiting shapes.

        Args:
            type_: The type.
            first: Rank of the first shape to read; shapes are ranked by their first jobs.
            shapes: How many shapes to read.
            jobs: How many jobs of each shape to read.
            earliest: If more shapes wait than are read, the shapes of this many first jobs of the
                queue are read besides.
            own: Whether to read which jobs have a priority of their own.
        """
        reply = await self._runner.run(
            "heads", type_, rank=first, limit=shapes, jobs=jobs, earliest=earliest, with_own=own
        )
        known = await self._shapes.read(type_, {row.shape: row.size for row in reply.shapes})
        rows = [row for row in reply.shapes if row.shape in known]
        preferring = [row for row in rows if known[row.shape].demand.prefer_for]
        until = await prefers_until(
            self._runner, type_, [name for row in preferring for name in row.heads]
        )
        shapes_read = records.readable(
            lambda row: records.waiting(row, known[row.shape], until), rows
        )
        passed = {name: since for _, passed in shapes_read for name, since in passed.items()}
        return Heads(reply.total, tuple(waiting for waiting, _ in shapes_read), passed)

    async def has_waiting(self, type_: str) -> bool:
        """Return whether any job waits for capacity."""
        return bool(await self._runner.command("EXISTS", Keys(type_).of("heads")))

    async def shape_of(self, type_: str, request_id: str) -> str | None:
        """Read the shape of a job, None if there is no such job."""
        key = Keys(type_).of("job", request_id)
        shape: str | None = await self._runner.command("HGET", key, "shape")
        return shape

    async def shape_rank(self, type_: str, shape: str) -> int | None:
        """Find the rank of a shape among the waiting ones, None if no job of it waits."""
        rank: int | None = await self._runner.command("ZRANK", Keys(type_).of("heads"), shape)
        return rank

    async def index_in_shape(self, type_: str, job: Job) -> int:
        """Count the jobs of the same shape before a waiting one."""
        keys = Keys(type_)
        name = member(job.id, job.request_id)
        rank = await self._runner.command("ZRANK", keys.of("shape", job.shape), name)
        return rank or 0

    async def place_at(self, type_: str, position: int) -> tuple[int, int] | None:
        """Read priority and ID of the job at a position (1 = next, 0 = last), None if none."""
        queue, rank = Keys(type_).of("status", Status.QUEUED), position - 1
        members = await self._runner.command("ZRANGE", queue, rank, rank)
        score = await self._runner.command("ZSCORE", queue, members[0]) if members else None
        return None if score is None else (int(float(score)), job_of(members[0])[0])

    async def note(
        self,
        type_: str,
        promises: Collection[Promise],
        passed: Collection[Head],
        kept: Mapping[str, Mapping[str, int]] | None = None,
    ) -> None:
        """Keep what a pass decided.

        Args:
            type_: The type.
            promises: What it promised.
            passed: The jobs that are newly passed.
            kept: What its reservations keep: host → resource → amount.
        """
        text = records.promises_text(promises)
        members = [member(head.id, head.request_id) for head in passed]
        await self._runner.run(
            "note", type_, promises=text, kept=records.kept_text(kept or {}), passed=members
        )

    async def callbacks_are_late(self, type_: str) -> bool:
        """Return whether a grant was refused because callbacks lag behind earlier grants.

        The claim that catches up wakes the granter.
        """
        return bool(await self._runner.command("HEXISTS", Keys(type_).base, "late"))

    async def grant(self, type_: str, grant: Grant, state: TypeState) -> int | None:
        """Commit one grant, see `grant_many`; returns its fence."""
        ((fence,), _) = await self.grant_many(type_, [grant], state)
        return fence

    async def grant_many(
        self,
        type_: str,
        grants: Sequence[Grant],
        state: TypeState,
        slots: FreeSlots = NO_SLOTS,
    ) -> Committed:
        """Commit grants in order, each alone, in one call.

        How long each is predicted to hold is kept with it.

        Args:
            type_: The type.
            grants: What to grant.
            state: What they were planned on.
            slots: How many of their callbacks to claim, for a courier that sends them at once.
        """
        fences: list[int | None] = [None] * len(grants)
        sent, rows, hosts = list[int](), list[dict[str, Any]](), list[dict[str, Any]]()
        for number, grant in enumerate(grants):
            demand = _demand_of(grant, state)
            if demand is not None:
                sent.append(number)
                rows.append(_row_of(grant, state.policy))
                hosts += _hosts_of(grant, demand, state, len(sent))
        if not sent:
            return Committed(fences, ())
        reply = await self._runner.run(
            "grant",
            type_,
            policy_number=state.policy_number,
            grants=rows,
            hosts=hosts,
            lease=round(slots.lease * 1000),
            limit=slots.count,
            unproven=slots.unproven,
        )
        for number, result in zip(sent, reply.results, strict=True):
            fences[number] = result.fence
        self._note_last(type_, grants, fences)
        return Committed(fences, claimed(type_, reply.deliveries))

    def _note_last(self, type_: str, grants: Sequence[Grant], fences: Sequence[int | None]) -> None:
        """Remember the newest grant of a call: it has the highest fence."""
        for grant, fence in zip(reversed(grants), reversed(fences), strict=True):
            if fence is not None:
                head, owner = grant.head, grant.shape.owner
                witness = Witness(head.request_id, owner, head.id, fence, fence)
                self._continuity.note_grant(type_, witness)
                return


def _hosts_after(
    known: TypeState | None, changed: Sequence[Any]
) -> tuple[Mapping[str, Host], Mapping[str, str], Mapping[str, str]]:
    """Return hosts, aggregates and traits of a state; what did not change is the same mapping."""
    if known and not changed:
        return known.hosts, known.aggregates, known.traits
    hosts = dict(known.hosts) if known else {}
    aggregates = dict(known.aggregates) if known else {}
    traits = dict(known.traits) if known else {}
    for row in changed:
        hosts[row.host] = records.host(row.host, row.fields)
        aggregates[row.host] = row.fields.get("aggregates", "[]")
        traits[row.host] = row.fields.get("traits", "")
    return hosts, aggregates, traits


def _demand_of(grant: Grant, state: TypeState) -> Demand | None:
    """Return what is granted, None where the plan is none that its shape and hosts allow."""
    try:
        demand = grant.demand
    except ValueError:  # it is none of the choices that the shape leaves
        return None
    return demand if demand.admits_any or _are_admitted(grant, demand, state.hosts) else None


def _row_of(grant: Grant, policy: Policy) -> dict[str, Any]:
    """Return a grant as grant.lua takes it, without what it holds of each host."""
    shape, head = grant.shape, grant.head
    return {
        "request_id": head.request_id,
        "id": head.id,
        "priority": head.priority,
        "instances": orjson.dumps(grant.hosts).decode(),
        "destination": shape.destination,
        "predicted": round(grant.prediction.hold * 1000),
        "predicted_from": grant.prediction.source,
        "demand_key": demand_key(shape.demand.options[grant.alternative]),
        "size": grant.size,
        "devices": device_records.choices_text(grant.devices),
        "shape": digest(shape.canonical()) if shape.demand.has_choice else None,
        "alternative": grant.alternative if shape.demand.alternatives else None,
        "caps": policy.limits.get(shape.owner, policy.limits.get("*", {})),
    }


def _are_admitted(grant: Grant, demand: Demand, hosts: Mapping[str, Host]) -> bool:
    """Return whether the demand lets each of its instances use its host."""
    return all(
        name in hosts
        and demand.admits(hosts[name])
        and traits_of(instance).admit(hosts[name].traits)
        for name, instance in zip(grant.hosts, demand.instances, strict=True)
    )


def _hosts_of(grant: Grant, demand: Demand, state: TypeState, number: int) -> list[dict[str, Any]]:
    """List what a grant of a demand holds of each host, as grant.lua takes it.

    `number`: the grant's in its call, from 1.
    """
    rows: dict[str, dict[str, Any]] = {}
    names_aggregates, names_traits = demand.names_aggregates, demand.names_traits
    choices = grant.devices or (NO_DEVICES,) * len(grant.hosts)
    for host, instance, choice in zip(grant.hosts, demand.instances, choices, strict=True):
        row = rows.get(host)
        if row is None:
            known = state.hosts.get(host)
            row = rows[host] = {
                "grant": number,
                "host": host,
                "aggregates": state.aggregates.get(host) if names_aggregates else None,
                "with_traits": names_traits,
                "traits": state.traits.get(host, "") if names_traits else "",
                "anywhere": known is not None and known.anywhere,
                "amounts": {},
                "largest": {},
                "smallest": {},
                "divisor": {},
                "whole": [],
            }
            if not choice:
                row["amounts"] = dict(instance)
                continue
        elif not row["largest"]:
            for name in ("largest", "smallest", "divisor"):
                row[name] = dict(row["amounts"])
        _add_instance(row, instance, choice)
    return [*rows.values()]


def _add_instance(row: dict[str, Any], instance: Instance, choice: DeviceChoice) -> None:
    """Add an instance to what a grant holds of its host."""
    for resource, amount in instance:
        row["largest"][resource] = max(row["largest"].get(resource, 0), amount)
        row["smallest"][resource] = min(row["smallest"].get(resource, amount), amount)
        row["divisor"][resource] = gcd(row["divisor"].get(resource, 0), amount)
    amounts = row["amounts"]
    for name, amount in (held_amounts(instance, choice) if choice else dict(instance)).items():
        amounts[name] = amounts.get(name, 0) + amount
    for resource, numbers in choice.items():
        if len(numbers) > 1:
            row["whole"] += [device_name(resource, number) for number in numbers]
