"""Every script runs on a Redis Cluster, where each type has its own slot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from faulting.servers import free_cluster_port
from redis.asyncio import Redis, RedisCluster

from rq_broker.admission.running_holds import RunningHolds
from rq_broker.domain import errors
from rq_broker.domain.capacity import Host
from rq_broker.domain.identity import ACTOR, ANYONE, Actor, Role
from rq_broker.domain.jobs import Status
from rq_broker.domain.planning import Promise
from rq_broker.domain.sessions import NewSession
from rq_broker.domain.tokens import NewToken
from rq_broker.store.audit import audit
from rq_broker.store.audit.walk import Walk
from rq_broker.store.broker import Broker, SourceReport
from rq_broker.store.connection import connect
from rq_broker.store.deliveries import Settlement
from rq_broker.store.embedded import Server
from rq_broker.store.rates import Bucket
from rq_broker.store.runner import Runner
from rq_broker.store.scripts import SCRIPTS
from rq_broker.worker.reporter import Reporter
from tests.making import array_submission, bring, claim_one, grant, head_of, settle, submit
from tests.store.lua.submitting import submit_several

TYPES = ["vm", "kube", "虛擬機"]
SELDOM = {
    "acknowledge_losses", "encrypt_keys", "repair_array", "repair_job", "repair_keys",
    "repair_type", "report_loss", "step",
}  # fmt: skip
"""Scripts that run only after Redis lost state, its clock was stepped, a secret key was changed, or
to repair damage."""


@pytest.fixture(scope="module")
def cluster_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = Path(tmp_path_factory.mktemp("cluster"))
    server = Server(directory, ["--cluster-enabled", "yes"], port=free_cluster_port())
    server.start()
    yield server
    server.kill()


@pytest.fixture
async def cluster(cluster_server: Server) -> AsyncIterator[RedisCluster]:
    """Make a client of a cluster of one node, which serves all slots."""
    node = Redis.from_url(cluster_server.url, decode_responses=True)
    if "cluster_slots_assigned:0" in str(await node.execute_command("CLUSTER", "INFO")):
        await node.execute_command("CLUSTER", "ADDSLOTS", *range(16384))
    async with asyncio.timeout(20):
        while True:
            if "cluster_state:ok" in str(await node.execute_command("CLUSTER", "INFO")):
                break
            await asyncio.sleep(0.05)
    await node.flushall()
    await node.aclose()
    client = connect(cluster_server.url.replace("redis://", "redis+cluster://"))
    assert isinstance(client, RedisCluster)
    yield client
    await client.aclose()


async def test_every_verb_runs_on_a_cluster(
    cluster: RedisCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Types in different slots pass through every script, and their audits have no findings."""
    ran: set[str] = set()
    run = Runner.run

    async def spied(self: Runner, verb: str, type_: str, /, **arguments: object) -> object:
        ran.add(verb)
        return await run(self, verb, type_, **arguments)

    monkeypatch.setattr(Runner, "run", spied)
    broker = Broker(cluster)
    await broker.ping()
    for type_ in TYPES:
        await asyncio.create_task(_live(broker, type_))
        assert await audit(cluster, type_) == []
        with pytest.raises(errors.DuplicateRequestId):
            await submit(broker, "w", type_)
        await _live_as_array(broker, type_)
        await submit_several(broker, type_)
        assert await audit(cluster, type_) == []
    await _let_in(broker)
    counts = await broker.types()
    assert counts.keys() == set(TYPES)
    assert sorted(SCRIPTS.keys() - ran - SELDOM) == []


async def _live(broker: Broker, type_: str) -> None:
    ACTOR.set(Actor("token:me"))
    await broker.set_policy(type_, {"retention": 0, "limits": {"*": {"VCPU": 9}}})
    await bring(broker, Status.RUNNING, "r", type_)
    await bring(broker, Status.DONE, "d", type_)
    await broker.sweep(type_)
    waiting = await submit(broker, "w", type_)
    await submit(broker, "x", type_)
    assert await broker.has_marker(type_, "grant")
    assert (await broker.due(type_)).waiting
    assert not await broker.forget_type(type_)
    await broker.set_policy(f"empty {type_}", {"patience": 1.0})
    await broker.drop_type(f"empty {type_}")
    await broker.note(type_, [Promise(waiting.id, "w", 2.0, 1.0)], [head_of(waiting)])
    assert await broker.turn(type_, "me", "take", 1)
    await broker.reorder(type_, "w", "position", "front")
    assert (await broker.heads(type_, 0, 10, 10)).waiting[0].heads[0].request_id == "w"
    assert len((await broker.page(type_)).jobs) == 3
    assert (await Walk(broker.runner.client, type_).owner_page("o", "0")).waiting == 2
    await broker.set_expected(type_, "w", 60.0)
    await broker.figures(type_)
    assert await Reporter(broker, type_).run_once() is not None
    await grant(broker, await broker.read(type_, "w"))
    await settle(broker, await claim_one(broker, type_=type_), Settlement("delivered"))
    await broker.set_keys(type_, "*", ["whsec_x"])
    await broker.send_test(type_, "t", "http://x/y", "http://x:80")
    assert [test.test for test in await broker.claim_tests(type_, 1)] == ["t"]
    await broker.settle_test(type_, "t", "http_200", 1)
    for destination in (await broker.destinations(type_))[1]:
        await broker.reset(type_, destination.name)
    holds = RunningHolds(broker, type_)
    assert {hold.request_id for hold in await holds.read()} == {"r", "w"}
    assert (await broker.job_hold(type_, "r")).hosts == ("h1",)
    await broker.withdraw(type_, "w")
    assert {hold.request_id for hold in await holds.read()} == {"r"}
    assert not (await broker.holding_times(type_, (await broker.holding_times(type_)).last)).holds
    await submit(broker, "w", type_)
    assert [job.request_id for job in (await broker.line(type_)).jobs] == ["x", "w"]
    await broker.forecast(type_, [(await broker.read(type_, "w"), 60.0, 60.0)])
    await broker.drop_host(type_, "h1")
    await _poll(broker, type_)


async def _live_as_array(broker: Broker, type_: str) -> None:
    await broker.submit_array(type_, array_submission(3, at_once=1))
    array = await broker.read_array(type_, "s")
    assert len((await broker.page_array(type_, "s"))[0]) == 3
    await broker.reorder_array(array, "position", "front")
    assert await broker.holding(type_, {"s"}) == {"s": 0}
    assert not await broker.withdraw_array(array)


async def _let_in(broker: Broker) -> None:
    await broker.create_token(NewToken(Role.VIEWER), "me", "a" * 64)
    await broker.rotate_token("me", "b" * 64, None, 0.0)
    await broker.revoke_token("me")
    await broker.create_session(NewSession("c" * 64, ANYONE, "token"), 9.0, 60.0)
    assert await broker.session("c" * 64)
    await broker.end_session("c" * 64)
    assert (await broker.allow([Bucket("me", 1.0, 5)])).requests == 1


async def _poll(broker: Broker, type_: str) -> None:
    started = await broker.watch(type_, "lab", 1, 5.0)
    assert started is not None
    report = SourceReport(1, [Host("h2", {"VCPU": 4})], {"s": {("h2", "VCPU"): 1}})
    assert await broker.apply(type_, "lab", 1, started.begun, report) == (1, 0)
    assert await broker.fail(type_, "lab", 1, "faulty", "no answer")
    assert len(await broker.sources(type_)) == 1
    with pytest.raises(errors.Conflict):
        await broker.forget_source(type_, "lab")


async def test_calls_are_unavailable_while_a_cluster_is_away(
    cluster: RedisCluster, cluster_server: Server
) -> None:
    """With its node killed, verbs raise Unavailable; they work again after its restart."""
    broker = Broker(cluster)
    await submit(broker, "before")
    await asyncio.to_thread(cluster_server.kill)
    try:
        for call in (broker.ping(), broker.read("vm", "before"), broker.sweep("vm")):
            async with asyncio.timeout(20):
                answer = await asyncio.gather(call, return_exceptions=True)
            assert [type(error) for error in answer] == [errors.Unavailable]
    finally:
        await asyncio.to_thread(cluster_server.start)
    async with asyncio.timeout(20):
        while True:
            with suppress(errors.Unavailable):
                assert (await broker.read("vm", "before")).request_id == "before"
                return
            await asyncio.sleep(0.05)
