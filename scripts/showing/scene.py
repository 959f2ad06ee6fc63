"""A realistic scene: a lab with four types, some of which have trouble.

The jobs go through the broker as the API's do, and one admission pass at a time grants them. No
callback is sent: what their receivers answered is settled as a courier would settle it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any
from zlib import crc32

from rq_broker.admission.granter import Granter
from rq_broker.api.submit import submission
from rq_broker.domain.capacity import Host
from rq_broker.domain.deliveries import Delivery
from rq_broker.domain.jobs import Status
from rq_broker.store.broker import Broker, Settlement
from rq_broker.worker.fleet import Fleet
from showing.steering import acting

VM, GPU, CJK, BENCH = "vm", "gpu", "虛擬機", "lab-bench"
"""The types: busy with a long line; of whole devices; of few jobs; paused and empty."""
HOSTILE = "<img src=x onerror=alert(1)>"
"""A request_id that is markup, and must be shown as text."""
LONG = "nightly-regression-of-everything-on-the-large-cluster-2026-11-26-attempt-12"
"""A request_id that fits no column."""
RECEIVER = "http://10.0.3.7:9000"
AWAY = "http://10.0.3.12:9000"
"""A receiver that does not answer: its breaker is open."""
OWNERS = ("lab-1", "lab-7", "vision", "fold", "ci")
FINISHED = 12
"""Jobs that are over in a type: enough of them for a forecast."""
TO_OPEN = 8
"""Failed callbacks that open a breaker for sure; it takes fewer."""

_ANSWERED = Settlement("delivered", "http_200", 41, health="healthy")
_TIMED_OUT = Settlement("retry", "timeout", 5000, 40.0, health="unhealthy")
_REFUSED = Settlement("failed", "http_410", 12, health="healthy")


Forward = Callable[[float], None]
"""Sets the clock forward by seconds, where the clock can be set."""


async def fill(broker: Broker, waiting: int = 40, forward: Forward = lambda _seconds: None) -> None:
    """Fill a broker with the scene, with this many jobs waiting in the type `vm`."""
    await _fill_gpu(broker)
    await _fill_vm(broker, waiting, forward)
    await _fill_cjk(broker)
    await broker.set_policy(BENCH, {"paused": True})
    await broker.set_host(BENCH, Host("bench-1", {"bench": 1}, aggregates=frozenset({"lab"})))


async def submit(
    broker: Broker,
    type_: str,
    name: str,
    owner: str,
    instances: Sequence[Mapping[str, Any]],
    *,
    receiver: str = RECEIVER,
    **fields: Any,
) -> None:
    """Submit a job; `fields` are those of its body besides, `data` what stands in its data."""
    data = {"instances": instances, "project": owner, **fields.pop("data", {})}
    callback = f"{receiver}/hooks/{crc32(name.encode()):08x}"
    body = {"request_id": name, "owner_id": owner, "callback": callback}
    await broker.submit(type_, submission({**body, "data": data, **fields}))


async def grant(broker: Broker, type_: str) -> int:
    """Run one admission pass: grant what fits, and note why the others wait."""
    return await _granter(broker, type_).run_once()


@lru_cache(8)
def _granter(broker: Broker, type_: str) -> Granter:
    """Return the one granter of a type: a second one is refused while the first may still plan."""
    return Granter(broker, type_)


async def settle_due(broker: Broker, type_: str) -> None:
    """Let the receivers of all due callbacks answer; AWAY does not."""
    while deliveries := (await broker.claim(type_, 60.0, 100))[1]:
        await broker.settle(type_, [(delivery, _answer(delivery)) for delivery in deliveries])


def _answer(delivery: Delivery) -> Settlement:
    callback = delivery.job.callback or ""
    if callback.startswith(AWAY):
        return _TIMED_OUT
    return _REFUSED if delivery.job.request_id.startswith("given-up") else _ANSWERED


def _vm_hosts() -> Iterator[Host]:
    for rack, size in (("rack-a", 64), ("rack-b", 96), ("rack-c", 32)):
        for number in range(1, 9):
            yield Host(
                f"{rack}-{number:03}",
                {"VCPU": size, "Memory": size * 4096, "Disk": 2000},
                used={"VCPU": size // 8 * (number % 3), "Memory": size * 512 * (number % 3)},
                aggregates=frozenset({rack}),
            )


def _vm_size(number: int) -> Sequence[Mapping[str, Any]]:
    """Return the instances of the n-th job: small ones mostly, some wide, some tall."""
    if number % 11 == 5:
        return [{"VCPU": 16, "Memory": 65536, "count": 8}]
    if number % 7 == 3:
        return [{"VCPU": 48, "Memory": 131072, "Disk": 500}]
    cores = (2, 4, 8, 8, 16)[number % 5]
    return [{"VCPU": cores, "Memory": cores * 4096, "Disk": 40, "count": 1 + number % 4}]


async def _fill_vm(broker: Broker, waiting: int, forward: Forward) -> None:
    with acting("cli:ops"):
        await broker.set_policy(VM, {"limits": {"ci": {"VCPU": 160}}, "patience": 60})
        for host in _vm_hosts():
            await broker.set_host(VM, host)
    await _finish(broker, VM, [{"VCPU": 8, "Memory": 32768}], forward)
    for number in range(TO_OPEN):
        await submit(broker, VM, f"away-{number}", "vision", [{"VCPU": 1}], receiver=AWAY)
    for number in range(48):
        owner = OWNERS[number % len(OWNERS)]
        name = f"given-up-{number}" if number % 16 == 9 else f"train-{number:03}"
        forward(90.0)
        await submit(broker, VM, name, owner, _vm_size(number), expected=4700 + 500 * number)
    while await grant(broker, VM):  # a receiver has so many offers at once
        await settle_due(broker, VM)
        forward(60.0)
    names = [HOSTILE, LONG, "fold-batch-7731", "notebook-yang", "impossible-9", "to-away"]
    names += [f"job-{number:04}" for number in range(waiting - len(names))]
    for number, name in enumerate(names):
        owner, size = OWNERS[number * 3 % len(OWNERS)], _vm_size(number + 3)
        if name == "impossible-9":
            size = [{"VCPU": 128}]
        elif name in (HOSTILE, LONG):
            size = [{"VCPU": 48, "Memory": 131072}]
        receiver = AWAY if name == "to-away" else RECEIVER
        forward(70.0)
        data = {"host_aggregate": "rack-a"} if number % 9 == 4 else {}
        await submit(broker, VM, name, owner, size, receiver=receiver, expected=3600, data=data)
    while await grant(broker, VM):
        await settle_due(broker, VM)
    await broker.transition(VM, "train-000", Status.DONE)


async def _finish(
    broker: Broker, type_: str, size: Sequence[Mapping[str, Any]], forward: Forward
) -> None:
    """Let jobs come and go, by which the broker learns how long owners hold."""
    names = [f"past-{number:02}" for number in range(FINISHED)]
    for number, name in enumerate(names):
        await submit(broker, type_, name, OWNERS[number % len(OWNERS)], size, expected=900)
    await grant(broker, type_)
    await settle_due(broker, type_)
    forward(500.0)
    for name in names:  # some hold for less than they said, some for more
        forward(60.0)
        await broker.transition(type_, name, Status.DONE)


@asynccontextmanager
async def notifier(broker: Broker) -> AsyncIterator[None]:
    """Report a notifier that serves all types, as one that runs does each second."""
    fleet = Fleet(broker, frozenset())

    async def report() -> None:
        while True:
            await asyncio.sleep(await fleet.run_once() / 2)

    task = asyncio.create_task(report())
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _fill_gpu(broker: Broker) -> None:
    for number in range(1, 5):
        capacity = {"GPU": 8, "VCPU": 128, "Memory": 1048576}
        host = Host(
            f"gpu-{number}", capacity, aggregates=frozenset({"a100" if number < 3 else "h100"})
        )
        await broker.set_host(GPU, host)
    for number in range(10):
        size = [{"GPU": (1, 2, 4, 8)[number % 4], "VCPU": 16, "Memory": 131072}]
        owner, expected = OWNERS[number % 3], 9000 + 1800 * number
        await submit(broker, GPU, f"llm-{number}", owner, size, expected=expected)
    await grant(broker, GPU)
    await settle_due(broker, GPU)
    await submit(broker, GPU, "wide", "fold", [{"GPU": 8, "VCPU": 32, "Memory": 4096, "count": 4}])
    await grant(broker, GPU)


async def _fill_cjk(broker: Broker) -> None:
    for number in range(1, 3):
        host = Host(f"主機-{number}", {"VCPU": 16, "Memory": 65536}, aggregates=frozenset({"機房"}))
        await broker.set_host(CJK, host)
    for number, name in enumerate(("訓練", "測試", "夜間批次", "影像")):
        size = [{"VCPU": 12, "Memory": 32768}]
        await submit(broker, CJK, f"{name}-{number}", "實驗室", size, expected=1200)
    await grant(broker, CJK)
    await settle_due(broker, CJK)
