"""One cell of the matrix: a topology under load, a fault, and what is left afterwards."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp
from benches.checkout import ROOT

from faulting.ledger import Ledger
from faulting.load import ONE_VCPU, TYPE, Load
from faulting.processes import Processes, running
from faulting.servers import Topology
from faulting.strikes import STEPS_CLOCK, STRIKES, Scene
from faulting.topologies import Way
from rq_broker.domain.capacity import Host
from rq_broker.domain.errors import BrokerError
from rq_broker.domain.jobs import Status
from rq_broker.store.audit import Severity, audit
from rq_broker.store.broker import Broker
from rq_broker.store.connection import connect

HOSTS, UNITS = 4, 8
"""Hosts, and units of capacity on each: enough for the load, scarce enough to be oversold."""
DEVICES = 4
"""Devices on each host, where hosts have some: two jobs share one."""
RECOVERY_SECONDS = 60.0
"""Seconds within which the broker has to answer again; a slower one fails the run."""
POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Plan:
    """What one trial does."""

    topology: Way
    fault: str
    has_devices: bool = False
    """Whether jobs need a part of a device instead of a part of a host."""
    tree: Path = ROOT
    """The checkout that the processes run at first; `upgrade` brings them to this one."""
    rate: float = 60.0
    """Submits a second over HTTP; half as many come from direct clients."""
    before: float = 3.0
    during: float = 5.0
    after: float = 5.0
    drain: float = 60.0
    """Seconds that jobs have to end after the fault; those left then are reported."""


@dataclass
class Result:
    """What one trial found."""

    topology: str
    fault: str
    ledger: Ledger
    gone: list[str] = field(default_factory=list)
    """Acknowledged jobs that Redis has no more, and no receiver was called for."""
    left: int = 0
    """Jobs that were not done in time."""
    failed: int = 0
    """Jobs in error."""
    faults: list[str] = field(default_factory=list)
    """What the audit found."""
    submits_after: float | None = None
    """Seconds from Redis's own recovery to the next acknowledged submit."""
    grants_after: float | None = None
    """Seconds from Redis's own recovery to the next callback of a job submitted after it."""
    log_bytes: int = 0
    told: str = ""
    """What readiness says afterwards of state that was lost, or of a clock that was stepped."""


async def run(plan: Plan) -> Result:
    """Run one trial."""
    with TemporaryDirectory() as folder:
        topology = plan.topology(Path(folder), fake_clock=plan.fault in STEPS_CLOCK)
        try:
            await topology.start()
            with running(topology.url, Path(folder), plan.tree) as processes:
                result = await _strike(plan, topology, processes)
                result.log_bytes = processes.log_bytes
            return result
        finally:
            await topology.stop()


async def _strike(plan: Plan, topology: Topology, processes: Processes) -> Result:
    ledger = Ledger(HOSTS * UNITS, UNITS // DEVICES if plan.has_devices else 0)
    result = Result(topology.name, plan.fault, ledger)
    broker = Broker(connect(topology.url))
    needs = {"GPU": 1000 * DEVICES // UNITS} if plan.has_devices else ONE_VCPU
    load = Load(processes.api, broker, ledger, rate=plan.rate, needs=needs)
    try:
        # 1. Wait until all serves, and submit for a while.
        await until_ready(processes.api)
        await publish(broker, has_devices=plan.has_devices)
        await load.start()
        await asyncio.sleep(plan.before)
        # 2. Strike, and find out when Redis itself serves again.
        await STRIKES[plan.fault](Scene(topology, processes, plan.during))
        while not await asyncio.to_thread(topology.serves_writes):
            await asyncio.sleep(POLL_SECONDS)
        recovered = time.monotonic()
        # 3. Publish the hosts again if they were lost, as whoever published them would.
        await _publish_again(broker, has_devices=plan.has_devices)
        await asyncio.sleep(plan.after)
        # 4. Let all jobs end, and judge.
        load.stop_submits()
        result.left = await drain(broker, ledger, plan.drain)
        if plan.tree is not ROOT:  # what operators are told to do after an upgrade
            await asyncio.to_thread(processes.repair)
        result.failed = (await broker.counts(TYPE))[Status.ERROR]
        await _judge(broker, topology, recovered, result)
        result.told = await _told(processes.api)
    finally:
        await load.stop()
        await broker.aclose()
    return result


async def until_ready(api: str) -> None:
    async with asyncio.timeout(30), aiohttp.ClientSession() as session:
        while True:
            with suppress(aiohttp.ClientError):
                async with session.get(f"{api}/readyz") as response:
                    if response.status == 200:
                        return
            await asyncio.sleep(POLL_SECONDS)


async def publish(broker: Broker, *, has_devices: bool = False) -> None:
    devices = {"GPU": [1000] * DEVICES} if has_devices else {}
    capacity = {"GPU": 1000 * DEVICES} if has_devices else {"VCPU": UNITS}
    for number in range(HOSTS):
        await broker.set_host(TYPE, Host(f"h{number}", capacity, devices=devices))


async def _publish_again(broker: Broker, *, has_devices: bool) -> None:
    """Publish the hosts if they are gone; calls may fail until the broker has recovered."""
    async with asyncio.timeout(RECOVERY_SECONDS):
        while True:
            with suppress(BrokerError):
                if len(await broker.hosts(TYPE)) < HOSTS:
                    await publish(broker, has_devices=has_devices)
                return
            await asyncio.sleep(POLL_SECONDS)


async def drain(broker: Broker, ledger: Ledger, seconds: float) -> int:
    """Wait until no job waits or holds capacity; returns how many are left when time is up."""
    deadline = time.monotonic() + seconds
    left = -1
    while time.monotonic() < deadline:
        with suppress(BrokerError):
            counts = await broker.counts(TYPE)
            left = sum(counts[status] for status in (Status.QUEUED, Status.GRANTED, Status.RUNNING))
            if not left and not ledger.holders:
                return 0
        await asyncio.sleep(0.2)
    return left


async def unfinished(broker: Broker) -> list[str]:
    """List the request_ids of jobs that wait or hold capacity."""
    return [
        job.request_id
        for status in (Status.QUEUED, Status.GRANTED, Status.RUNNING)
        for job in (await broker.page(TYPE, status=status)).jobs
    ]


async def _judge(broker: Broker, topology: Topology, recovered: float, result: Result) -> None:
    ledger = result.ledger
    kept = set()
    after = None
    while True:
        page = await broker.page(TYPE, after=after)
        kept |= {job.request_id for job in page.jobs}
        after = page.next
        if after is None:
            break
    result.gone = sorted(set(ledger.acknowledged) - kept)
    result.submits_after = _first_after(recovered, ledger.submitted, ledger.acknowledged)
    result.grants_after = _first_after(recovered, ledger.submitted, ledger.called_at)
    client = connect(topology.url)
    findings = await audit(client, TYPE)
    await client.aclose()
    result.faults = [str(each) for each in findings if each.severity is Severity.FAULT]


def _first_after(start: float, begun: dict[str, float], ended: dict[str, float]) -> float | None:
    """Return the seconds from `start` to the first end of what was begun after it."""
    times = [time for name, time in ended.items() if begun.get(name, 0.0) >= start]
    return min(times) - start if times else None


async def _told(api: str) -> str:
    async with aiohttp.ClientSession() as session, session.get(f"{api}/readyz") as response:
        return (await response.text())[:2000]
