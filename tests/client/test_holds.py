"""`hold` of both clients: what leaving the body does, and how a loss reaches it."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any
from unittest.mock import Mock

import httpx
import pytest

from rq_broker.client import AsyncClient, Client, Grant, HoldLost, HoldTimeout

OFTEN = 0.4
"""A `hold_at_most` by which a hold is renewed, and looked at, twenty times a second."""


class Api:
    """Answers as the API does for one job, from memory."""

    def __init__(self, status: str = "granted") -> None:
        self.job = {"Status": status, "Fence": 3, "OwnerID": "o", "Hosts": ["h"], "Error": None}
        self.changes: list[dict[str, Any]] = []
        self.submitted: dict[str, Any] = {}
        self.renewed = threading.Event()

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.startswith("/types/"):
            return ok({"policy": {"running": None}})
        if request.url.path == "/v1/vm":
            self.submitted = json.loads(request.content)
            return ok(self.job)
        if request.method == "DELETE":
            self.changes.append({"withdrawn": True})
            return ok({})
        if request.method == "POST":
            body = json.loads(request.content)
            self.changes.append(body)
            if self.job["Status"] == "running" == body["status"]:
                self.renewed.set()
            self.job["Status"] = body["status"]
            return ok({})
        return ok(self.job)

    def lose(self) -> None:
        self.job["Fence"] = 4

    def client(self) -> Client:
        transport = httpx.MockTransport(self.answer)
        return Client("", http=httpx.Client(transport=transport, base_url="http://a"))

    def async_client(self) -> AsyncClient:
        transport = httpx.MockTransport(self.answer)
        return AsyncClient("", http=httpx.AsyncClient(transport=transport, base_url="http://a"))

    @property
    def last(self) -> dict[str, Any]:
        return self.changes[-1]


def ok(data: Any) -> httpx.Response:
    return httpx.Response(200, json={"ok": True, "data": data})


def test_a_sync_hold_is_renewed_and_given_back() -> None:
    """While the body runs a thread renews with the fence; leaving says `done`."""
    api = Api()
    with api.client() as broker, broker.hold("vm", {"VCPU": 4}, hold_at_most=OFTEN) as grant:
        assert api.renewed.wait(10)
        assert grant.seconds_left > 0
    assert api.changes[0] == {"status": "running", "fence": 3}
    assert api.last == {"status": "done", "fence": 3}


async def test_an_async_hold_is_renewed_and_given_back() -> None:
    """While the body runs a task renews with the fence; leaving says `done`."""
    api = Api()
    async with (
        api.async_client() as broker,
        broker.hold("vm", {"VCPU": 4}, hold_at_most=OFTEN),
    ):
        assert await asyncio.to_thread(api.renewed.wait, 10)
    assert api.last == {"status": "done", "fence": 3}


def test_a_hold_that_cannot_be_renewed_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes between the grant and the body, as a signal's exception, keeps no capacity."""
    api = Api()
    with monkeypatch.context() as patch, api.client() as broker:
        patch.setattr(threading.Thread, "start", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt), broker.hold("vm", {}):
            pytest.fail("the body is not reached")
    assert api.last == {"status": "error", "fence": 3, "error": "KeyboardInterrupt"}


async def test_an_exception_of_the_body_is_the_jobs_error() -> None:
    """The job ends in error with its text, or with the text that the body set itself."""
    api = Api()
    with (
        api.client() as broker,
        pytest.raises(ValueError, match="no disk"),
        broker.hold("vm", {}),
    ):
        raise ValueError("no disk")
    assert api.last == {"status": "error", "fence": 3, "error": "ValueError: no disk"}
    api = Api()
    with (
        api.client() as broker,
        pytest.raises(OSError, match="a file"),
        broker.hold("vm", {}),
    ):
        raise OSError("a file named \udcff")
    assert api.last["error"] == "OSError: a file named \\udcff"
    api = Api()

    async def fail(own: AsyncClient) -> None:
        async with own.hold("vm", {}) as grant:
            grant.error = "mine"
            raise ValueError("no disk")

    async with api.async_client() as own:
        with pytest.raises(ValueError, match="no disk"):
            await fail(own)
    assert api.last == {"status": "error", "fence": 3, "error": "mine"}


def test_a_sync_body_learns_of_the_loss() -> None:
    """The grant says so, `on_lost` is called once, and the block ends with HoldLost."""
    api, told = Api(), list[HoldLost]()
    seen = threading.Event()

    def note(lost: HoldLost) -> None:
        told.append(lost)
        seen.set()

    def lose(broker: Client) -> None:
        with broker.hold("vm", {}, hold_at_most=OFTEN, on_lost=note) as grant:
            grant.check()
            api.lose()
            assert seen.wait(10)
            assert grant.lost is told[0]

    with api.client() as broker, pytest.raises(HoldLost, match="fence has moved on"):
        lose(broker)
    assert len(told) == 1
    assert api.last["status"] == "running"  # what is lost is not given back


async def test_an_async_body_is_cancelled_by_the_loss() -> None:
    """The body ends where it waits, and the task is not cancelled beyond the block."""
    api = Api()

    async def lose(broker: AsyncClient) -> None:
        async with broker.hold("vm", {}, hold_at_most=OFTEN):
            api.lose()
            await asyncio.Event().wait()

    async with api.async_client() as broker:
        with pytest.raises(HoldLost, match="fence has moved on"):
            await lose(broker)
    task = asyncio.current_task()
    assert task
    assert not task.cancelling()
    await asyncio.sleep(0)


async def test_a_cancellation_from_outside_stays_one() -> None:
    """Whoever cancels the task gets a cancelled task, and the capacity is given back."""
    api, entered = Api(), asyncio.Event()

    async def body() -> None:
        async with api.async_client() as broker, broker.hold("vm", {}):
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(body())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert api.last == {"status": "error", "fence": 3, "error": "CancelledError"}


async def test_a_wait_that_is_left_withdraws_the_job() -> None:
    """So does a timeout, and a cancelled or interrupted wait, in both clients."""
    api = Api("queued")
    with api.client() as broker, pytest.raises(HoldTimeout), broker.hold("vm", {}, timeout=0.0):
        raise AssertionError("it was not granted")
    assert api.changes == [{"withdrawn": True}]

    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    api = Api("queued")
    with (
        api.client() as broker,
        pytest.raises(KeyboardInterrupt),
        broker.hold("vm", {}, look_every=0.01, on_wait=interrupt),
    ):
        raise AssertionError("it was not granted")
    assert api.changes == [{"withdrawn": True}]
    api = Api("queued")
    async with api.async_client() as own:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05), own.hold("vm", {}, look_every=0.01):
                raise AssertionError("it was not granted")
    assert api.changes == [{"withdrawn": True}]


def test_a_grant_without_a_loss_passes_its_check() -> None:
    """`check` raises nothing as long as the hold is there."""
    Grant("vm", "r", "o", 1, ["h"], {}, 600.0, 0.0).check()


@pytest.mark.parametrize(
    ("token", "options", "owner"),
    [
        (None, {}, "ann"),
        (None, {"owner_id": "lab-7"}, "lab-7"),
        ("rqb_x", {}, None),
        ("rqb_x", {"owner_id": "lab-7"}, "lab-7"),
    ],
)
async def test_whose_a_hold_is(
    monkeypatch: pytest.MonkeyPatch, token: str | None, options: dict[str, Any], owner: str | None
) -> None:
    """Without a token it is its user's; with one the API knows whose, unless the call says so."""
    monkeypatch.setattr("rq_broker.client.wishes.getpass.getuser", lambda: "ann")
    api = Api()
    client = Client("http://a", token=token)
    monkeypatch.setattr(client, "_http", api.client()._http)
    with client.hold("vm", {"VCPU": 4}, **options):
        assert api.submitted.get("owner_id") == owner
    api = Api()
    asking = AsyncClient("http://a", token=token)
    monkeypatch.setattr(asking, "_http", api.async_client()._http)
    async with asking.hold("vm", {"VCPU": 4}, **options):
        assert api.submitted.get("owner_id") == owner
