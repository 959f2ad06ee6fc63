"""One action on many jobs: each is changed, or refused, as if it were alone."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from rq_broker.api import bulk_actions
from rq_broker.domain import errors
from rq_broker.domain.jobs import Status
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker, Settlement
from tests.api.conftest import called, fail_destinations, listed, refused, submit
from tests.api.test_access import calling
from tests.api.test_audited_changes import lines_of
from tests.making import bring


async def _act(
    api: httpx.AsyncClient, action: str, following: str | None = None, **fields: Any
) -> dict[str, Any]:
    """Carry out an action, and expect this cursor, or any where it is `…`."""
    answer = await api.post("/types/vm/actions", json={"action": action, **fields})
    assert answer.status_code == 200, answer.text
    envelope = answer.json()
    assert following == "…" or envelope["next"] == following
    data: dict[str, Any] = envelope["data"]
    return data if following is None else {**data, "next": envelope["next"]}


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let one call change two jobs, and look at four."""
    monkeypatch.setattr(bulk_actions, "MOST_JOBS", 2)
    monkeypatch.setattr(bulk_actions, "MOST_EXAMINED", 4)
    monkeypatch.setattr(bulk_actions, "_PAGE", 2)


async def test_jobs_by_name(api: httpx.AsyncClient, client: Redis) -> None:
    """Each name is withdrawn with a line of its own; refusals are counted by code and shown."""
    await submit(api, "a", "b", "c")
    await api.delete("/v1/vm/c")
    data = await _act(api, "withdraw", request_ids=["a", "nobody", "c", "b", "a"])
    refusals = data.pop("refusals")
    assert data == {
        "matched": 4,
        "changed": 2,
        "refused": {"job_not_found": 1, "already_withdrawn": 1},
    }
    assert [(refusal["request_id"], refusal["code"]) for refusal in refusals] == [
        ("nobody", "job_not_found"),
        ("c", "already_withdrawn"),
    ]
    assert await listed(api) == []
    assert await audit(client, "vm") == []


@pytest.mark.usefixtures("small_steps")
async def test_an_array_stands_for_its_jobs(api: httpx.AsyncClient) -> None:
    """`name[*]` is each of its jobs; of too many nothing is changed; one that is not there is
    refused as a job is."""
    body = {"owner_id": "y", "data": {"instances": [{"VCPU": 1}]}}
    for name, count in (("row", 2), ("rows", 3)):
        answer = await api.post("/v1/vm/", json={**body, "request_id": name, "count": count})
        assert answer.status_code == 201, answer.text
    data = await _act(api, "withdraw", request_ids=["row[*]"], dry_run=True)
    assert data["matched"] == 2
    answer = await api.post(
        "/types/vm/actions", json={"action": "withdraw", "request_ids": ["rows[*]"]}
    )
    refused(answer, 400, "invalid_request", "request_ids name more than 2 jobs")
    data = await _act(api, "withdraw", request_ids=["row[*]"])
    assert (data["changed"], data["refused"]) == (2, {})
    data = await _act(api, "withdraw", request_ids=["none[*]"])
    assert data["refused"] == {"job_not_found": 1}
    assert await listed(api) == ["rows[0]", "rows[1]", "rows[2]"]


async def test_status_by_filter(api: httpx.AsyncClient, broker: Broker) -> None:
    """Jobs in error are queued again and running ones end, by what is said of them."""
    await fail_destinations(broker, "a", "b")
    await bring(broker, Status.RUNNING, "c")
    error: dict[str, Any] = {
        "filter": {"error_code": "timeout", "callback_destination": "http://b:80"}
    }
    data = await _act(api, "requeue", **error, dry_run=True)
    assert (data["matched"], data["changed"]) == (1, 0)
    assert [job["RequestID"] for job in data["jobs"]] == ["b"]
    assert (await _act(api, "requeue", **error))["changed"] == 1
    assert (await _act(api, "requeue", **error))["matched"] == 0
    data = await _act(api, "done", filter={"older_than": 0})
    assert data["refused"] == {"impossible_move": 1}
    statuses = {name: (await broker.read("vm", name)).status for name in "abc"}
    assert statuses == {"a": Status.ERROR, "b": Status.DONE, "c": Status.DONE}
    assert (await _act(api, "withdraw", filter={"older_than": 3600}))["matched"] == 0
    assert (await _act(api, "withdraw", filter={"status": "done"}))["changed"] == 2


@pytest.mark.usefixtures("small_steps")
async def test_steps_are_bounded_and_go_on(api: httpx.AsyncClient) -> None:
    """A call stops at its bound with a cursor; jobs that do not match are passed by, none twice."""
    for number in range(9):
        await submit(api, f"j{number}", owner_id="xyx"[number % 3])
    cursor, matched, calls = None, [], 0
    while True:
        wanted: dict[str, Any] = {"filter": {"owner_id": "x"}, "dry_run": True, "cursor": cursor}
        data = await _act(api, "withdraw", "…", **wanted)
        matched += [job["RequestID"] for job in data["jobs"]]
        calls += 1
        if (cursor := data["next"]) is None:
            break
    assert matched == ["j0", "j2", "j3", "j5", "j6", "j8"]
    cursor, changed = None, 0
    while True:
        data = await _act(api, "withdraw", "…", filter={"owner_id": "x"}, cursor=cursor)
        assert data["changed"] <= 2
        changed += data["changed"]
        if (cursor := data["next"]) is None:
            break
    assert (changed, await listed(api)) == (6, ["j1", "j4", "j7"])


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("end", ["front", "back"])
async def test_moves_keep_the_order(api: httpx.AsyncClient, client: Redis, end: str) -> None:
    """What a filter matches goes to one end as it stands, over several calls, and once."""
    names = [f"j{number}" for number in range(9)]
    for number, name in enumerate(names):
        await submit(api, name, owner_id="xy"[number % 2], priority=5)
    cursor, changed = None, 0
    while True:
        wanted: dict[str, Any] = {"filter": {"owner_id": "x"}, "position": end, "cursor": cursor}
        data = await _act(api, "move", "…", **wanted)
        changed += data["changed"]
        if changed == 2:  # somebody submits meanwhile
            await submit(api, "new", owner_id="x")
        if (cursor := data["next"]) is None:
            break
    moved, stay = names[::2], names[1::2]
    expected = [*moved, *stay] if end == "front" else [*stay, *moved]
    assert changed == 5
    assert [name for name in await listed(api) if name != "new"] == expected
    assert await audit(client, "vm") == []
    data = await _act(api, "move", request_ids=["j3", "j1", "nobody"], position=end)
    assert (data["changed"], data["refused"]) == (2, {"job_not_found": 1})
    order = [name for name in await listed(api) if name != "new"]
    assert (order[:2] if end == "front" else order[-2:]) == ["j3", "j1"]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"action": "withdraw"}, "exactly one of request_ids and filter"),
        ({"action": "withdraw", "request_ids": ["a"], "filter": {"status": "done"}}, "exactly one"),
        ({"action": "withdraw", "filter": {}}, "filter must name something"),
        (
            {"action": "withdraw", "filter": {"owner_id": ""}},
            "filter.owner_id must not be empty",
        ),
        ({"action": "requeue", "filter": {"error_code": ""}}, "filter.error_code must not be"),
        ({"action": "done", "filter": {"callback_destination": ""}}, "must not be empty"),
        ({"action": "withdraw", "filter": {"state": "done"}}, '"state" is not known'),
        ({"action": "move", "request_ids": ["a"]}, "position"),
        ({"action": "done", "request_ids": ["a"], "position": "front"}, "position"),
        ({"action": "done", "request_ids": []}, "request_ids"),
        ({"action": "cancel", "request_ids": ["a"]}, "action must be one of"),
        ({"action": "done", "filter": {"status": "done"}, "cursor": "x"}, "cursor must be"),
        ({"action": "done", "request_ids": ["a"], "cursor": "MSwx"}, "cursor goes with filter"),
        (
            {"action": "move", "filter": {"status": "done"}, "position": "back"},
            "move is of queued jobs",
        ),
    ],
)
async def test_bad_actions(api: httpx.AsyncClient, body: Any, sentence: str) -> None:
    """An action that does not say what is meant is refused whole."""
    await submit(api, "a")
    answer = await api.post("/types/vm/actions", json=body)
    refused(answer, 400, "invalid_request", sentence)
    assert await listed(api) == ["a"]


async def test_a_client_acts_on_its_own_jobs(broker: Broker) -> None:
    """A filter of everything means its own; names of others do not exist; each job has its line."""
    async with calling(broker, "admin") as admin, calling(broker, "client") as api:
        await submit(admin, "a1", "a2", "a3", owner_id="y")
        await submit(admin, "z1", "z2", owner_id="z")
        assert (await _act(api, "withdraw", filter={"owner_id": "z"}))["matched"] == 0
        data = await _act(api, "withdraw", request_ids=["z1"])
        assert data["refused"] == {"job_not_found": 1}
        await _act(api, "move", request_ids=["a3", "a2"], position="front")
        assert await listed(admin) == ["a3", "a2", "a1", "z1", "z2"]
        await _act(api, "move", filter={"older_than": 0}, position="back")
        assert await listed(admin) == ["a3", "a2", "a1", "z1", "z2"]
        assert (await _act(api, "withdraw", filter={"older_than": 0}))["changed"] == 3
        assert await listed(admin) == ["z1", "z2"]
    lines = await lines_of(broker, "vm")
    assert [(line.who, line.verb) for line in lines[:3]] == [("client", "withdraw")] * 3
    assert {line.subject for line in lines[:3]} == {"a1", "a2", "a3"}


async def test_a_job_that_left_its_status_is_left_alone(
    api: httpx.AsyncClient, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is withdrawn for its status is refused once it has another: here it runs by then."""
    await called(broker, "a", Settlement("failed", "timeout", 7, health="unhealthy"))
    page = broker.page

    async def late(*args: Any, **fields: Any) -> Any:
        jobs = await page(*args, **fields)
        await broker.transition("vm", "a", Status.QUEUED)
        return jobs

    monkeypatch.setattr(broker, "page", late)
    data = await _act(api, "withdraw", filter={"status": "error"})
    assert (data["changed"], data["refused"]) == (0, {"conflict": 1})
    assert (await broker.read("vm", "a")).status is Status.QUEUED


async def test_redis_away_fails_the_call(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """The call is a 503 that may be repeated: what was withdrawn by then is told so."""
    async with calling(broker, "admin") as api:
        await submit(api, "a", "b")
        run = broker.runner.run

        async def flaky(verb: str, type_: str, **arguments: Any) -> Any:
            if verb == "withdraw" and arguments["request_id"] == "b":
                raise errors.Unavailable("away")
            return await run(verb, type_, **arguments)

        with monkeypatch.context() as patch:
            patch.setattr(broker.runner, "run", flaky)
            answer = await api.post(
                "/types/vm/actions", json={"action": "withdraw", "request_ids": ["a", "b"]}
            )
            assert (answer.status_code, answer.json()["code"]) == (503, "redis_unavailable")
        data = await _act(api, "withdraw", request_ids=["a", "b"])
        assert (data["changed"], data["refused"]) == (1, {"already_withdrawn": 1})
