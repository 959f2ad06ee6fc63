"""Lines of jobs for tests of the dashboard, and what a person sees of them."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

from playwright.async_api import Locator, Page, Response, Route, expect
from showing import scene

from rq_broker.store.broker import Broker
from tests.dashboard.conftest import PATIENCE_MS

TYPE = "虛擬機"
HOUR = 3600.0


async def queue(broker: Broker, *names: str, owner: str = "lab-7", **fields: Any) -> None:
    """Submit jobs of 4 VCPU that say they hold for an hour."""
    for name in names:
        await scene.submit(broker, TYPE, name, owner, [{"VCPU": 4}], expected=HOUR, **fields)


async def with_times(route: Route) -> None:
    """Answer a preview as one of a line whose jobs `a` and `b` start an hour later than now."""
    moves = [_moved("c", 2 * HOUR, 0.0), _moved("a", 0.0, HOUR), _moved("b", HOUR, 2 * HOUR)]
    await _foretell(route, moves, later=2)


async def with_little(route: Route) -> None:
    """Answer a preview as one of a line whose jobs start when they would, within 5 %."""
    moves = [_moved("c", 20 * HOUR, 20 * HOUR), _moved("a", 20 * HOUR, 20.9 * HOUR)]
    await _foretell(route, moves, later=0)


def _moved(name: str, before: float, after: float) -> dict[str, Any]:
    etas = {"before": before, "after": after}
    return {
        "request_id": name,
        "owner_id": "lab-7",
        **{when: {"p50": eta, "p90": eta, "reason": None} for when, eta in etas.items()},
        "seconds": after - before,
    }


async def _foretell(route: Route, moves: list[dict[str, Any]], *, later: int) -> None:
    answer = await route.fetch()
    body = await answer.json()
    data = {**body["data"], "moves": moves, "later": later, "sooner": 0, "same": 0, "unknown": 0}
    await route.fulfill(json={**body, "data": data})


async def order(broker: Broker) -> list[str]:
    """List the names of the waiting jobs."""
    page = await broker.page(TYPE, status="queued")
    return [job.request_id for job in page.jobs]


async def followed(page: Page, url: str) -> None:
    """Open a line and wait until it has read its rows anew once its stream is open.

    Every change from then on is told by an event of its own.
    """
    answers: list[Response] = []

    def note(answer: Response) -> None:  # playwright takes no method of a builtin
        answers.append(answer)

    page.on("response", note)
    await page.goto(url)
    deadline = asyncio.get_running_loop().time() + PATIENCE_MS / 1000
    while (answer := _read_anew(answers)) is None:
        assert asyncio.get_running_loop().time() < deadline, [each.url for each in answers]
        await asyncio.sleep(0.02)
    await answer.finished()
    await page.evaluate(
        "() => new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))"
    )


def _read_anew(answers: list[Response]) -> Response | None:
    """Return the first list of jobs that was answered after the stream of events."""
    paths = [urlsplit(each.url).path for each in answers]
    is_followed = False
    for answer, path in zip(answers, paths, strict=True):
        if is_followed and "/v1/" in path and path.endswith("/"):
            return answer
        is_followed = is_followed or path.endswith("/events")
    return None


def rows(page: Page) -> Locator:
    """Find the rows of jobs that are drawn."""
    return page.locator(".rows > [role=row][data-name]")


def row(page: Page, name: str) -> Locator:
    """Find the row of a job."""
    return page.locator(f".rows > [role=row][data-name={json.dumps(name)}]")


async def names(page: Page) -> list[str]:
    """List the names in the rows that are drawn, from top to bottom."""
    read = "rows => rows.map(row => [Number(row.dataset.index), row.dataset.name])"
    found: list[tuple[int, str]] = await rows(page).evaluate_all(read)
    return [name for _, name in sorted(found)]


async def until(page: Page, script: str, *values: Any) -> Any:
    """Wait until a function of the page returns something true; return that.

    Playwright's own way evaluates a string in the page, which its content policy forbids.
    """
    deadline = asyncio.get_running_loop().time() + PATIENCE_MS / 1000
    while not (value := await page.evaluate(script, list(values))):
        assert asyncio.get_running_loop().time() < deadline, script
        await asyncio.sleep(0.02)
    return value


async def a_million(page: Page, count: int = 1_000_000) -> list[str]:
    """Answer lists of the API as a line of a million jobs would; returns what is asked for."""
    asked: list[str] = []

    async def answer(route: Route) -> None:
        asked.append(route.request.url)
        query = parse_qs(urlsplit(route.request.url).query)
        first, limit = int(query["from"][0]), int(query["limit"][0])
        jobs = [_job(place) for place in range(first, min(count + 1, first + limit))]
        await route.fulfill(json={"data": jobs, "next": None, "count": count, "ok": True})

    async def explain(route: Route) -> None:
        await route.fulfill(json={"data": {"protected": False, "reservation": None}, "ok": True})

    await page.route(lambda url: "/v1/" in url and "from=" in url, answer)
    await page.route("**/explain", explain)
    return asked


def _job(place: int) -> dict[str, Any]:
    return {
        "ID": place,
        "CreatedAt": "2026-11-26T19:00:00.000000Z",
        "RequestID": f"job-{place}",
        "Type": TYPE,
        "OwnerID": "lab-7",
        "Data": '{"instances":[{"VCPU":4}]}',
        "Status": "queued",
        "Position": place,
        "Hosts": [],
        "Reason": "Not looked at yet",
        "Why": {"code": "next_pass", "text": "Not looked at yet"},
        "ETA": {"p50": 60.0 * place, "p90": 90.0 * place, "reason": None},
    }


async def first_and_put_back(page: Page, broker: Broker) -> None:
    """Expect `c` before `a` and `b`, as the page tells; its Undo puts it back behind them."""
    await expect(page.get_by_text("Moved c to 1.")).to_be_visible()
    assert await order(broker) == ["c", "a", "b"]
    await page.get_by_role("button", name="Undo").click()
    await expect(page.get_by_text("Moved c back to 3.")).to_be_visible()
    assert await order(broker) == ["a", "b", "c"]
