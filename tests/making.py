"""Builders for broker tests: demands, submissions, grants, and jobs brought to a status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import structs

from rq_broker.domain.arrays import ArraySubmission, Template
from rq_broker.domain.capacity import Host
from rq_broker.domain.deliveries import Delivery
from rq_broker.domain.devices import DeviceChoice
from rq_broker.domain.holding_times import Prediction, Source
from rq_broker.domain.jobs import Demand, Job, Shape, Status, Submission
from rq_broker.domain.planning import Grant, Head
from rq_broker.domain.terms import AtOnce
from rq_broker.domain.traits import Traits
from rq_broker.store.broker import Broker, Settlement

TYPE = "vm"


def shape(
    *instances: Mapping[str, int],
    owner: str = "o",
    destination: str = "http://x:80",
    aggregate: str | None = None,
    require: tuple[str, ...] = (),
    forbid: tuple[str, ...] = (),
) -> Shape:
    """Build a shape from its instances; of one instance with one VCPU if none is given."""
    requested = instances or ({"VCPU": 1},)
    pairs = tuple(tuple(sorted(instance.items())) for instance in requested)
    demand = Demand(pairs, aggregate, traits=Traits(require, forbid))
    return Shape(demand, owner, destination)


def submission(request_id: str = "d", **changes: Any) -> Submission:
    """Build a submission; its callback is made of its request_id unless one is given."""
    owner = changes.get("owner_id", "o")
    fields: dict[str, Any] = {
        "request_id": request_id,
        "owner_id": owner,
        "data": "{}",
        "callback": f"http://x/{request_id}",
        "shape": shape(owner=owner),
    }
    return Submission(**{**fields, **changes})


def array_submission(count: int, name: str = "s", **changes: Any) -> ArraySubmission:
    """Build the submission of an array, `s` unless named; its jobs have their numbers as data."""
    at_once = changes.get("at_once")
    limit = AtOnce(name, at_once) if at_once else None
    fields: dict[str, Any] = {
        "name": name,
        "owner_id": "o",
        "count": count,
        "data": Template(('{"n":"', '"}')),
        "callback": Template((f"http://x/{name}-", "")),
        "shapes": (msgspec.structs.replace(shape(), at_once=limit),),
    }
    return ArraySubmission(**{**fields, **changes})


async def submit(broker: Broker, request_id: str = "d", type_: str = TYPE, **changes: Any) -> Job:
    """Submit a job."""
    return await broker.submit(type_, submission(request_id, **changes))


async def listed(broker: Broker, request_id: str, type_: str = TYPE) -> Job:
    """Read a job as lists have it: without its version, which only reads of one job give."""
    return msgspec.structs.replace(await broker.read(type_, request_id), version="")


async def publish(broker: Broker, name: str = "h1", type_: str = TYPE, **amounts: int) -> None:
    """Publish a host in aggregates a and b, of 64 VCPU unless amounts are given."""
    capacity = amounts or {"VCPU": 64}
    await broker.set_host(type_, Host(name, capacity, aggregates=frozenset({"a", "b"})))


def head_of(job: Job) -> Head:
    """Return the head by which the planner names a job."""
    return Head(job.id, job.request_id, job.priority)


def planned_grant(job: Job, wanted: Shape | None = None, *hosts: str) -> Grant:
    """Build a grant as the planner does: the job on these hosts, on h1 if none is given."""
    granted = wanted or shape(owner=job.owner_id)
    names = hosts or ("h1",) * len(granted.demand.instances)
    return Grant(head_of(job), granted, names)


async def grant(
    broker: Broker,
    job: Job,
    wanted: Shape | None = None,
    *hosts: str,
    predicted: float = 60.0,
    size: int = -3,
    devices: tuple[DeviceChoice, ...] = (),
) -> int | None:
    """Plan and commit a grant on the state of now; return its fence, None where it is refused.

    `predicted`: seconds the job is predicted to hold, by what its owner did; `size`: size class.
    """
    state = await broker.type_state(job.type)
    prediction = Prediction.same(predicted, Source.OWNER)
    planned = structs.replace(
        planned_grant(job, wanted, *hosts), prediction=prediction, size=size, devices=devices
    )
    return await broker.grant(job.type, planned, state)


async def grant_to(broker: Broker, destination: str, request_id: str, owner: str = "o") -> None:
    """Submit a job whose callback goes to a destination, `scheme://host:port`; grant it on h1."""
    wanted, callback = shape(owner=owner, destination=destination), f"{destination}/{request_id}"
    job = await submit(broker, request_id, owner_id=owner, callback=callback, shape=wanted)
    assert await grant(broker, job, wanted) is not None


async def bring(broker: Broker, status: Status, request_id: str = "d", type_: str = TYPE) -> Job:
    """Submit a job and bring it to a status, through a grant where the status can hold capacity."""
    job = await submit(broker, request_id, type_)
    if status in (Status.GRANTED, Status.RUNNING):
        await publish(broker, type_=type_)
        assert await grant(broker, job) is not None
    if status in (Status.RUNNING, Status.DONE, Status.ERROR):
        await broker.transition(type_, request_id, status)
    return await broker.read(type_, request_id)


async def claim_one(broker: Broker, lease: float = 60.0, type_: str = TYPE) -> Delivery:
    """Claim the due delivery; there must be exactly one."""
    (delivery,) = (await broker.claim(type_, lease, 10))[1]
    return delivery


async def settle(broker: Broker, delivery: Delivery, settlement: Settlement) -> str:
    """Settle one delivery; return the job's status afterwards, or STALE."""
    (status,) = (await broker.settle(delivery.job.type, [(delivery, settlement)])).statuses
    return status


async def queue(broker: Broker, type_: str = TYPE) -> list[str]:
    """Return the request_ids of the queued jobs, first to last."""
    page = await broker.page(type_, status="queued")
    return [job.request_id for job in page.jobs]


async def all_jobs(broker: Broker, type_: str = TYPE, limit: int = 500) -> list[Job]:
    """Read every job in pages of `limit`."""
    page = await broker.page(type_, limit=limit)
    jobs = [*page.jobs]
    while page.next:
        page = await broker.page(type_, after=page.next, limit=limit)
        jobs += page.jobs
    return jobs
