"""The changes that leave a line in the audit log: how each is made, and the line that it leaves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from unittest.mock import ANY

from redis.asyncio import Redis

from rq_broker.domain.jobs import Status
from rq_broker.store.broker import Broker, Settlement, SourceReport
from rq_broker.store.keys import Keys
from tests.api.conftest import submission
from tests.making import bring, claim_one, publish, settle, submit

KEY = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
FINGERPRINT = sha256(KEY.encode()).hexdigest()[:8]


@dataclass
class Stage:
    """A type on which one change is prepared by the broker itself, which leaves no line."""

    broker: Broker
    client: Redis
    type: str

    async def failed_callback(self) -> None:
        """Let a callback fail for good."""
        await bring(self.broker, Status.GRANTED, type_=self.type)
        failed = Settlement("failed", "timeout", 7, health="unhealthy")
        await settle(self.broker, await claim_one(self.broker, type_=self.type), failed)

    async def abandoned_source(self) -> None:
        """Let a source report a host, and be polled no more."""
        started = await self.broker.watch(self.type, "lab", 1, 1.0)
        assert started
        await self.broker.apply(self.type, "lab", 1, started.begun, SourceReport(1, [], {}))
        await self.client.hset(Keys(self.type).of("source", "lab"), "tried", "1")

    async def loss(self) -> None:
        """Let a loss be on record."""
        await self.client.hset(Keys(self.type).of("lost"), "7", "1 2 3 4 5")


async def _nothing(_: Stage) -> None:
    return None


Prepare = Callable[[Stage], Awaitable[object]]


def _job(status: Status = Status.QUEUED, **fields: Any) -> Prepare:
    async def prepare(stage: Stage) -> None:
        if status is Status.QUEUED:
            await submit(stage.broker, "d", stage.type, **fields)
        else:
            await bring(stage.broker, status, "d", stage.type)

    return prepare


def _two_jobs(stage: Stage) -> Awaitable[object]:
    async def prepare() -> None:
        await submit(stage.broker, "first", stage.type, priority=4)
        await submit(stage.broker, "d", stage.type, priority=5)

    return prepare()


@dataclass(frozen=True)
class Change:
    """A request that changes something, and the line that it leaves."""

    verb: str
    prepare: Prepare
    method: str
    path: str
    """Below the type, which is TYPE."""
    body: Any
    subject: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None


HOST = {"capacity": {"VCPU": 4}, "aggregates": ["b", "a"]}
_QUEUED = {"owner_id": "o", "status": "queued", "priority": ANY}
CHANGES = {
    "submit": Change(
        *("submit", _nothing, "POST", "/v1/TYPE", submission(priority=3, expected=60)),
        *("d", None, {"owner_id": "y", "status": "queued", "priority": 3, "data_bytes": ANY}
          | {"expected": 60}),
    ),
    "submit many": Change(
        *("submit", _nothing, "POST", "/types/TYPE/jobs", {"jobs": [submission(priority=3)]}),
        *("d", None, {"owner_id": "y", "status": "queued", "priority": 3, "data_bytes": ANY}),
    ),
    "withdraw many": Change(
        *("withdraw", _job(), "POST", "/types/TYPE/actions"),
        *({"action": "withdraw", "filter": {"older_than": 0}}, "d", _QUEUED, None),
    ),
    "end many": Change(
        *("transition", _job(Status.RUNNING), "POST", "/types/TYPE/actions"),
        *({"action": "done", "request_ids": ["d"]}, "d"),
        *({"status": "running"}, {"status": "done"}),
    ),
    "move many": Change(
        *("reorder", _two_jobs, "POST", "/types/TYPE/actions"),
        *({"action": "move", "request_ids": ["d"], "position": "front"}, "d"),
        *({"priority": 5}, {"priority": 3}),
    ),
    "done": Change(
        *("transition", _job(Status.RUNNING), "POST", "/v1/TYPE/d", {"status": "done"}),
        *("d", {"status": "running"}, {"status": "done"}),
    ),
    "error": Change(
        *("transition", _job(), "POST", "/v1/TYPE/d", {"status": "error", "error": 'a "b"\n'}),
        *("d", {"status": "queued"}, {"status": "error", "error": 'a "b"\n'}),
    ),
    "servers": Change(
        *("transition", _job(Status.RUNNING), "POST", "/v1/TYPE/d"),
        *({"status": "running", "servers": ["s1", "s2"]}, "d"),
        *({"servers": ""}, {"servers": "s1 s2"}),
    ),
    "priority": Change(
        *("reorder", _job(priority=5), "POST", "/v1/TYPE/d", {"priority": 7}),
        *("d", {"priority": 5}, {"priority": 7}),
    ),
    "priority of its own": Change(
        *("reorder", _job(), "POST", "/v1/TYPE/d", {"position": "front"}),
        *("d", {"own_priority": False}, {"own_priority": True}),
    ),
    "place": Change(
        *("reorder", _two_jobs, "POST", "/v1/TYPE/d", {"before": "first"}),
        *("d", {"priority": 5}, {"priority": 3}),
    ),
    "expected": Change(
        *("set_expected", _job(expected=90.5), "POST", "/v1/TYPE/d", {"expected": 60}),
        *("d", {"expected": 90.5}, {"expected": 60}),
    ),
    "no expected": Change(
        *("set_expected", _job(expected=90.5), "POST", "/v1/TYPE/d", {"expected": None}),
        *("d", {"expected": 90.5}, None),
    ),
    "withdraw": Change("withdraw", _job(), "DELETE", "/v1/TYPE/d", None, "d", _QUEUED, None),
    "policy": Change(
        *("set_policy", _nothing, "PUT", "/types/TYPE"),
        *({"paused": True, "patience": 60, "limits": {"lab": {"VCPU": 4}}, "offer": 300}, "TYPE"),
        {"paused": False, "patience": 300, "limits": {}},
        {"paused": True, "patience": 60, "limits": {"lab": {"VCPU": 4}}},
    ),
    "policy patch": Change(
        "set_policy",
        lambda s: s.broker.set_policy(s.type, {"limits": {"a": {"VCPU": 1}}}),
        *("PATCH", "/types/TYPE", {"limits": {"a": None, "b": {"VCPU": 2}}, "offer": 300}, "TYPE"),
        *({"limits": {"a": {"VCPU": 1}}}, {"limits": {"b": {"VCPU": 2}}}),
    ),
    "new type": Change("set_policy", _nothing, "PUT", "/types/TYPE", {}, "TYPE", None, {}),
    "no more lines": Change(
        *("set_policy", _nothing, "PUT", "/types/TYPE", {"audit_log": 0}),
        *("TYPE", {"audit_log": 10_000}, {"audit_log": 0}),
    ),
    "drop type": Change(
        "drop_type", lambda s: s.broker.set_policy(s.type, {"paused": True}), "DELETE",
        "/types/TYPE", None, "TYPE", {"policy:paused": True}, None,
    ),
    "losses": Change(
        *("acknowledge_losses", Stage.loss, "DELETE", "/types/TYPE/losses", None),
        *("TYPE", {"losses": 1}, None),
    ),
    "new host": Change(
        *("set_host", _nothing, "PUT", "/types/TYPE/hosts/h", HOST, "h", None),
        {"capacity:VCPU": 4, "aggregates": ["a", "b"]},
    ),
    "host": Change(
        *("set_host", lambda s: publish(s.broker, "h1", s.type, VCPU=2, GPU=1), "PUT"),
        *("/types/TYPE/hosts/h1", HOST, "h1"),
        *({"capacity:VCPU": 2, "capacity:GPU": 1}, {"capacity:VCPU": 4}),
    ),
    "host patch": Change(
        *("set_host", lambda s: publish(s.broker, "h1", s.type, VCPU=2, GPU=1), "PATCH"),
        *("/types/TYPE/hosts/h1", {"capacity": {"VCPU": 4}}, "h1"),
        *({"capacity:VCPU": 2}, {"capacity:VCPU": 4}),
    ),
    "drop host": Change(
        *("drop_host", lambda s: publish(s.broker, "h1", s.type), "DELETE"),
        *("/types/TYPE/hosts/h1", None, "h1"),
        *({"capacity:VCPU": 64, "aggregates": ["a", "b"]}, None),
    ),
    "source": Change(
        *("forget_source", Stage.abandoned_source, "DELETE", "/types/TYPE/sources/lab", None),
        *("lab", {"hosts": 0}, None),
    ),
    "reset": Change(
        *("reset", Stage.failed_callback, "POST", "/types/TYPE/destinations/reset"),
        *({"destination": "http://x:80"}, "http://x:80", {"receivers": 1}, None),
    ),
    "requeue": Change(
        *("transition", Stage.failed_callback, "POST", "/types/TYPE/destinations/requeue"),
        *({"destination": "http://x:80"}, "d", {"status": "error"}, {"status": "queued"}),
    ),
    "test": Change(
        *("send_test", _nothing, "PUT", "/types/TYPE/destinations/tests/t"),
        *({"callback": "http://x/y", "owner": "o"}, "http://x:80 o", None, {"test": "t"}),
    ),
    "keys": Change(
        *("set_keys", _nothing, "PUT", "/types/TYPE/keys", {"owner": "*", "keys": [KEY]}),
        *("*", {"keys": ""}, {"keys": FINGERPRINT}),
    ),
    "create token": Change(
        *("create_token", _nothing, "POST", "/tokens"),
        {"name": "ci", "role": "client", "owners": ["lab"], "expires": 60},
        *("ci", None, {"role": "client", "owners": ["lab"], "expires": ANY}),
    ),
    "rotate token": Change(
        *("rotate_token", _nothing, "POST", "/tokens/ci", {"expires": 90}, "ci"),
        *({"expires": ANY}, {"expires": ANY}),
    ),
    "revoke token": Change(
        *("revoke_token", _nothing, "DELETE", "/tokens/ci", None, "ci", {"tokens": 1}, None),
    ),
    "create session": Change(
        *("create_session", _nothing, "POST", "/session", None, "admin", None),
        {"way": "name", "ends": ANY},
    ),
    "end session": Change(
        *("end_session", _nothing, "DELETE", "/session", None, "admin", {"way": "name"}, None),
    ),
}  # fmt: skip
"""What clients and operators change; the name says what."""
ON_THE_TERMINAL = {"encrypt_keys", "repair_job", "repair_array", "repair_type", "repair_keys"}
"""Verbs of what no request changes; the tests of the commands try them."""
