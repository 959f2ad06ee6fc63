"""Without a live notifier nothing is granted: reasons and explanations say so, with the seconds."""

from __future__ import annotations

import orjson
import pytest
from redis.asyncio import Redis

from rq_broker.admission import served_types
from rq_broker.admission.explain import Explainer
from rq_broker.admission.served_types import ServedTypes, unserved_of
from rq_broker.admission.snapshot import SnapshotReader
from rq_broker.admission.waiting_reason import ReasonReader
from rq_broker.store.broker import Broker
from rq_broker.store.keys import NOTIFIERS
from rq_broker.store.notifiers import NotifierReport
from tests.explaining import queued
from tests.making import TYPE, publish


async def _reported(client: Redis, seconds_ago: float, *types: str) -> None:
    """Store the report of a notifier that died so long ago."""
    now = (await client.time())[0]
    report = {"reported": (now - seconds_ago) * 1000, "types": types}
    await client.hset(NOTIFIERS, "n", orjson.dumps(report).decode())


async def _texts(broker: Broker, request_id: str) -> tuple[str, str]:
    """Return the reason of a read, and of an explanation, asked of a new process."""
    snapshots = SnapshotReader(broker)
    job = await broker.read(TYPE, request_id)
    explained = await Explainer(snapshots).explain(TYPE, request_id)
    reason = explained.explanation.reason
    read = await ReasonReader(snapshots).reason(TYPE, job)
    return read.text if read else "", reason.text if reason else ""


async def test_a_job_that_fits_is_told_that_nobody_serves_it(broker: Broker, client: Redis) -> None:
    """It is not "about to be granted" while the last notifier is dead, or serves other types."""
    await publish(broker, VCPU=4)
    await queued(broker, "d", 1)
    assert set(await _texts(broker, "d")) == {"it fits, but no notifier serves this type"}
    await _reported(client, 34)
    for text in await _texts(broker, "d"):
        assert text.startswith("it fits, but no notifier has served this type for 3")
        assert text.endswith(" s")
    await _reported(client, 0, "kube")
    assert set(await _texts(broker, "d")) == {"it fits, but no notifier serves this type"}
    await _reported(client, 5, TYPE)
    assert await _texts(broker, "d") == ("it fits, and is about to be granted", "")


async def test_every_other_reason_says_it_too(broker: Broker) -> None:
    """A job that does not fit, and one behind its own shape, are told as well."""
    await publish(broker, VCPU=4)
    for number in range(3):
        await queued(broker, f"small{number}", 1)
    await queued(broker, "big", 64)
    for request_id in ("small2", "big"):
        text, _ = await _texts(broker, request_id)
        assert text.endswith("; and no notifier serves this type")


async def test_the_most_free_agrees_with_the_hosts(broker: Broker) -> None:
    """What earlier jobs would get is named where it is taken off: the hosts show it as free."""
    await publish(broker, VCPU=4)
    await queued(broker, "first", 4)
    await queued(broker, "second", 3)
    (host,) = await broker.hosts(TYPE)
    assert host.free == {"VCPU": 4}
    for text in await _texts(broker, "second"):
        assert "the most free is 0 on h1, after what earlier jobs are about to get" in text


_DEAD = NotifierReport("dead", (), 52.0)


def _left(age: float, *types: str) -> NotifierReport:
    return NotifierReport("", types, age, has_left=True)


@pytest.mark.parametrize(
    ("reports", "sentence"),
    [
        ([], "no notifier serves this type"),
        ([NotifierReport("a", ("kube",), 0.0)], "no notifier serves this type"),
        ([NotifierReport("a", (), 19.9)], ""),
        ([NotifierReport("a", (), 20.4)], "no notifier has served this type for 20 s"),
        ([NotifierReport("a", (), 99.0), NotifierReport("b", ("vm",), 1.0)], ""),
        (
            [NotifierReport("a", (), 99.0), NotifierReport("b", ("vm",), 40.0)],
            "no notifier has served this type for 40 s",
        ),
        ([_DEAD, _left(3.0)], "no notifier has served this type for 3 s"),
        ([_DEAD, _left(3.0, "vm")], "no notifier has served this type for 3 s"),
        ([_DEAD, _left(3.0, "kube")], "no notifier serves this type"),
        ([_DEAD, _left(60.0, "kube")], "no notifier has served this type for 52 s"),
        ([NotifierReport("a", (), 2.0), _left(3.0)], ""),
    ],
)
def test_the_youngest_report_of_the_type_counts(
    reports: list[NotifierReport], sentence: str
) -> None:
    """A type is served if one notifier that serves it reported within 20 seconds; since when it is
    not is told where it is known, also of one that stopped since another died."""
    unserved = unserved_of("vm", reports)
    assert (unserved.text if unserved else "") == sentence


async def test_reports_are_read_once_a_second(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many readers of waiting jobs cost Redis one read of the reports."""
    reads: list[None] = []
    read = broker.notifiers

    async def counted() -> list[NotifierReport]:
        reads.append(None)
        return await read()

    monkeypatch.setattr(broker, "notifiers", counted)
    monkeypatch.setattr(served_types, "_REREAD_SECONDS", 60.0)
    served = ServedTypes(broker)
    for _ in range(5):
        await served.unserved(TYPE)
    assert len(reads) == 1
