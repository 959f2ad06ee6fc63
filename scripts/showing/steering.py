"""What people did in the scene, as the audit log tells it: each acts by a name, from an address."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from zlib import crc32

from rq_broker.domain.capacity import Host
from rq_broker.domain.identity import ACTOR, Actor
from rq_broker.domain.jobs import Status
from rq_broker.store.broker import Broker


@contextmanager
def acting(name: str, address: str = "") -> Iterator[None]:
    """Make changes as this identity: over HTTP from an address, or on a command line."""
    request = f"{crc32(name.encode()):08x}" if address else ""
    token = ACTOR.set(Actor(name, address, request))
    try:
        yield
    finally:
        ACTOR.reset(token)


async def steer(broker: Broker, type_: str) -> None:
    """Let operators and owners steer a type of the scene for a while."""
    with acting("keystone:yang", "10.0.3.21"):
        await broker.reorder(type_, "notebook-yang", "position", "2")
        await broker.set_expected(type_, "train-001", 10_800)
    with acting("token:lab-7", "10.0.3.7"):
        await broker.withdraw(type_, "job-0012")
    with acting("oidc:chen@example.org", "10.0.3.20"):
        await broker.set_policy(type_, {"patience": 300})
        await broker.set_policy(type_, {"limits": {"ci": {"VCPU": 160}, "lab-7": {"VCPU": 512}}})
        await broker.transition(type_, "given-up-9", Status.QUEUED)
    with acting("cli:ops"):
        capacity = {"VCPU": 32, "Memory": 32 * 4096, "Disk": 2000}
        await broker.set_host(type_, Host("rack-c-009", capacity, aggregates=frozenset({"rack-c"})))
        await broker.drop_host(type_, "rack-c-008")
