"""The Python client, sync and async, against the real API."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest

from rq_broker.api import create_app
from rq_broker.client import (
    AsyncClient,
    Client,
    bulk,
    calls,
    holding,
    patches,
    questions,
    receivers,
)
from rq_broker.delivery.signing import generate
from rq_broker.domain import errors
from rq_broker.store.broker import Broker
from rq_broker.store.connection import in_memory

URL = "http://api.test"
Ask = Callable[..., Awaitable[Any]]
"""Calls a client's method by its name, with these arguments."""


class Bridge(httpx.BaseTransport):
    """Carries a sync client's requests from its thread to the app in the test's loop."""

    def __init__(self, inner: httpx.ASGITransport, loop: asyncio.AbstractEventLoop) -> None:
        self.inner = inner
        self.loop = loop

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return asyncio.run_coroutine_threadsafe(self.carry(request), self.loop).result()

    async def carry(self, request: httpx.Request) -> httpx.Response:
        answer = await self.inner.handle_async_request(request)
        return httpx.Response(
            answer.status_code, headers=answer.headers, content=await answer.aread()
        )


@pytest.fixture
async def transport() -> AsyncIterator[httpx.ASGITransport]:
    client = in_memory()
    yield httpx.ASGITransport(create_app(Broker(client)))
    await client.aclose()


@pytest.fixture(params=["sync", "async"])
async def ask(request: pytest.FixtureRequest, transport: httpx.ASGITransport) -> AsyncIterator[Ask]:
    """Call a method by name, on either client; `jobs` returns a list."""
    if request.param == "async":
        http = httpx.AsyncClient(transport=transport, base_url=URL)
        async with AsyncClient(URL, http=http) as client:

            async def ask(verb: str, /, *args: Any, **kwargs: Any) -> Any:
                result = getattr(client, verb)(*args, **kwargs)
                return [job async for job in result] if verb == "jobs" else await result

            yield ask
        assert http.is_closed
        return
    bridged = httpx.Client(transport=Bridge(transport, asyncio.get_running_loop()), base_url=URL)
    with Client(URL, http=bridged) as sync_client:

        async def ask_in_thread(verb: str, /, *args: Any, **kwargs: Any) -> Any:
            def work() -> Any:
                result = getattr(sync_client, verb)(*args, **kwargs)
                return list(result) if verb == "jobs" else result

            return await asyncio.to_thread(work)

        yield ask_in_thread
    assert bridged.is_closed


def job(request_id: str, **fields: Any) -> dict[str, Any]:
    data = {"instances": [{"VCPU": 1}]}
    callback = f"http://a.test/{request_id}"
    return {"request_id": request_id, "owner_id": "y", "data": data, "callback": callback, **fields}


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_server_that_is_no_url(kind: type[Client] | type[AsyncClient]) -> None:
    """Both clients say at once what a URL looks like."""
    with pytest.raises(ValueError, match=r"'localhost:8080' is no URL such as http://"):
        kind("localhost:8080")


async def test_a_jobs_life(ask: Ask) -> None:
    """A job is submitted, read, moved, told how long it holds, given a status and withdrawn."""
    new = await ask("submit", "a?b#%", **job("機x"))
    assert (new["Type"], new["RequestID"], new["Status"]) == ("a?b#%", "機x", "queued")
    await ask("submit", "a?b#%", **job("z", priority=5))
    assert [listed["RequestID"] for listed in await ask("jobs", "a?b#%")] == ["z", "機x"]
    await ask("reorder", "a?b#%", "z", after="機x")
    assert [listed["RequestID"] for listed in await ask("jobs", "a?b#%")] == ["機x", "z"]
    assert "there is no host" in (await ask("read", "a?b#%", "z"))["Reason"]
    await ask("set_expected", "a?b#%", "z", 7200)
    assert (await ask("read", "a?b#%", "z"))["Expected"] == 7200
    await ask("transition", "a?b#%", "z", "error", error="no disk")
    assert (await ask("read", "a?b#%", "z"))["Error"] == "no disk"
    await ask("withdraw", "a?b#%", "z")
    with pytest.raises(errors.JobNotFound):
        await ask("read", "a?b#%", "z")


async def test_names_per_owner(ask: Ask) -> None:
    """Every call on one job says whose it means, and leaves the other's job of the name alone."""
    await ask("set_policy", "vm", names="per_owner")
    for owner in ("x", "y"):
        await ask("submit", "vm", **job("d", owner_id=owner))
    for verb, arguments, fields in (
        ("reorder", ["d"], {"priority": 5}),
        ("set_expected", ["d", 60], {}),
        ("transition", ["d", "error"], {"error": "no disk"}),
    ):
        await ask(verb, "vm", *arguments, owner_id="x", **fields)
    changed = await ask("read", "vm", "d", owner_id="x")
    assert (changed["Priority"], changed["Expected"], changed["Error"]) == (5, 60, "no disk")
    assert await ask("attempts", "vm", "d", owner_id="x") == []
    await ask("withdraw", "vm", "d", owner_id="x")
    kept = await ask("read", "vm", "d", owner_id="y")
    assert (kept["RequestID"], kept["OwnerID"], kept["Expected"]) == ("d", "y", None)
    with pytest.raises(errors.JobNotFound):
        await ask("read", "vm", "d", owner_id="x")


async def test_jobs_reads_every_page(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """`jobs` reads until the API has no next cursor, with its filters on every page."""
    monkeypatch.setattr(calls, "PAGE_LIMIT", 2)
    for number in range(5):
        await ask("submit", "vm", **job(str(number), owner_id="even" if number % 2 == 0 else "odd"))
    assert [listed["RequestID"] for listed in await ask("jobs", "vm")] == list("01234")
    even = await ask("jobs", "vm", owner_id="even", status="queued")
    assert [listed["RequestID"] for listed in even] == list("024")
    assert await ask("jobs", "nobody") == []
    assert all("ETA" not in listed for listed in even)
    with_eta = await ask("jobs", "vm", owner_id="even", eta=True)
    assert [listed["ETA"]["p50"] for listed in with_eta] == [None] * 3


async def test_types_and_policy(ask: Ask) -> None:
    """Counts and policy are read, and a policy is changed."""
    await ask("submit", "vm", **job("d"))
    assert (await ask("types"))["vm"]["queued"] == 1
    shown = await ask("set_policy", "vm", patience=None, paused=True)
    assert (shown["policy"]["patience"], shown["policy"]["paused"]) == (None, True)
    assert await ask("policy", "vm") == shown


async def test_a_patch_changes_what_is_named(ask: Ask) -> None:
    """One owner's limit and one resource of a host are changed; all else stays as it was."""
    await ask("set_policy", "vm", patience=60, limits={"a": {"VCPU": 1}, "b": {"VCPU": 2}})
    shown = await ask("patch_policy", "vm", limits={"a": {"VCPU": 8}, "b": None})
    assert (shown["policy"]["limits"], shown["policy"]["patience"]) == ({"a": {"VCPU": 8}}, 60)
    figures = {"capacity": {"VCPU": 4, "GPU": 2}, "used": {"VCPU": 1}, "aggregates": ["gold"]}
    await ask("set_host", "vm", "h1", **figures)
    host = await ask("patch_host", "vm", "h1", capacity={"VCPU": 8, "GPU": None})
    changed = figures | {"capacity": {"VCPU": 8}}
    assert {name: host[name] for name in changed} == changed


async def test_the_audit_log(ask: Ask) -> None:
    """The log of a type and that of the installation are read in pages, in either order."""
    await ask("submit", "vm", **job("d"))
    await ask("withdraw", "vm", "d")
    (submitted,), cursor = await ask("audit_log", "vm", order="oldest", limit=1)
    (withdrawn,), end = await ask("audit_log", "vm", cursor, order="oldest")
    assert (submitted["verb"], withdrawn["verb"], end) == ("submit", "withdraw", None)
    assert await ask("audit_log", "vm", verb="submit", request_id="d") == ([submitted], None)
    assert await ask("audit_log", None) == ([], None)


async def test_hosts(ask: Ask) -> None:
    """A host is published, read, listed and dropped."""
    host = await ask("set_host", "vm", "h 1", capacity={"VCPU": 4}, aggregates=["a"])
    assert (host["free"], host["aggregates"]) == ({"VCPU": 4}, ["a"])
    assert await ask("host", "vm", "h 1") == host
    assert await ask("hosts", "vm") == [host]
    await ask("drop_host", "vm", "h 1")
    with pytest.raises(errors.HostNotFound):
        await ask("host", "vm", "h 1")


async def test_destinations(ask: Ask) -> None:
    """Attempts and destinations are read; an unknown one has no breaker and nothing to requeue."""
    await ask("submit", "vm", **job("d"))
    assert await ask("attempts", "vm", "d") == []
    assert await ask("destinations", "vm") == {"outage": False, "destinations": []}
    assert await ask("requeue", "vm", "http://h:80") == 0
    with pytest.raises(errors.DestinationNotFound):
        await ask("reset", "vm", "http://h:80")


async def test_receiver_tests(ask: Ask) -> None:
    """A test is sent under a name, and read by it; an unknown name is one of no test."""
    sent = await ask("send_test", "vm", "t 1", "http://h/x", "lab-7")
    assert (sent["test"], sent["destination"], sent["cause"]) == ("t 1", "http://h:80", None)
    assert await ask("receiver_test", "vm", "t 1") == sent
    with pytest.raises(errors.ReceiverTestNotFound):
        await ask("receiver_test", "vm", "other")


async def test_keys(ask: Ask) -> None:
    """Signing keys are set, and shown by their fingerprints."""
    shown = await ask("set_keys", "vm", "*", (generate().text,))
    assert len(shown["*"]) == 1
    assert await ask("keys", "vm") == shown
    assert await ask("set_keys", "vm", "*", []) == {}


async def test_a_move_by_what_was_told(ask: Ask) -> None:
    """A move takes the line of its what-if, tells what undoes it, and is refused with a preview."""
    for name in "abc":
        await ask("submit", "vm", **job(name))
    told = await ask("what_if", "vm", request_id="c", position=1)
    moved = await ask("reorder", "vm", "c", position=1, if_match=told["line"])
    assert (moved["position"], moved["was"]) == (1, 3)
    undo = moved["undo"]
    await ask("reorder", "vm", "c", position=undo["position"], if_match=undo["line"])
    assert [each["RequestID"] for each in await ask("jobs", "vm")] == ["a", "b", "c"]
    told = await ask("what_if", "vm", request_id="c", before="b")
    await ask("reorder", "vm", "a", after="b")
    with pytest.raises(errors.ChangedMeanwhile) as refused:
        await ask("reorder", "vm", "c", before="b", if_match=told["line"])
    preview: Any = refused.value.details["preview"]
    assert preview["position"] == 1


async def test_many_jobs_in_one_call(ask: Ask) -> None:
    """Many are submitted, some refused; one action is done to those named, or that match."""
    answer = await ask("submit_many", "vm", [job("a"), job("b"), job("a")])
    assert [each["status"] for each in answer["jobs"]] == [201, 201, 409]
    assert answer["stored"] == 2
    acted = await ask("act", "vm", "withdraw", request_ids=["a", "nobody"])
    assert (acted["matched"], acted["changed"]) == (2, 1)
    assert acted["refused"] == {"job_not_found": 1}
    dry = await ask("act", "vm", "move", filter={"older_than": 0}, position="front", dry_run=True)
    assert ([each["RequestID"] for each in dry["jobs"]], dry["next"]) == (["b"], None)


async def test_refusals_raise_their_class(ask: Ask) -> None:
    """Each code raises the class of domain.errors that has it, with the API's sentence."""
    await ask("submit", "vm", **job("d"))
    with pytest.raises(errors.DuplicateRequestId, match="request_id is taken"):
        await ask("submit", "vm", **job("d"))
    with pytest.raises(errors.StaleFence):
        await ask("transition", "vm", "d", "done", fence=9)
    with pytest.raises(errors.Invalid, match=r"priority must be a whole number from .* not 1\.5"):
        await ask("reorder", "vm", "d", priority=1.5)


CALLS = vars(calls) | vars(patches) | vars(questions) | vars(bulk) | vars(receivers)
"""Name → function, of every call; and what these modules import."""
ASKED = {"act", "explain", "what_if", "report", "waiting_now", "late_holders"}
OWN = {"jobs", "audit_lines", "events", "hold", "wait", *ASKED}
"""Methods of both clients that no single call is behind, or no method of the broker."""


def methods(cls: type) -> dict[str, list[str]]:
    """Return the public methods of a class: name → parameters."""
    return {
        name: list(inspect.signature(method).parameters)
        for name, method in vars(cls).items()
        if inspect.isfunction(method) and not name.startswith("_")
    }


async def test_both_clients_have_the_same_methods() -> None:
    """Sync and async differ only in await, and name their methods as the broker does."""
    sync_methods, async_methods = methods(Client), methods(AsyncClient)
    assert sync_methods.pop("close") == async_methods.pop("aclose")
    assert sync_methods == async_methods
    broker = Broker(in_memory())
    assert sync_methods.keys() - OWN <= set(dir(broker))
    await broker.aclose()


def test_both_clients_have_a_method_for_every_call() -> None:
    """A call that is added is missing in no client; `jobs` sends `page`."""
    names = {
        name
        for name, function in CALLS.items()
        if inspect.isfunction(function)
        and str(inspect.signature(function).return_annotation).startswith("Call[")
    }
    assert names - {"page"} | OWN | {"close"} == methods(Client).keys()


def test_a_method_has_the_documentation_of_its_call() -> None:
    """`help(Client.read)` explains arguments, result and errors."""
    for cls in (Client, AsyncClient):
        for name in methods(cls).keys() - (OWN - ASKED) - {"close", "aclose"}:
            assert getattr(cls, name).__doc__ == CALLS[name].__doc__
        assert cls.wait.__doc__ == holding.wait.__doc__
