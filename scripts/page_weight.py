"""Prints what the dashboard costs: bytes, first paint, memory, frames, previews of moves.

    scripts/page_weight.py [--jobs N] [--events N] [--only preview]

Everything runs here: a private redis-server, the API in this process, Chromium. Figures of time are
those of this machine, with whatever else it does.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from playwright.async_api import Browser, CDPSession, Page
from showing import history, scene
from showing.serving import chromium, served

from rq_broker.api.submit import submission
from rq_broker.cli.process import freeze_garbage
from rq_broker.domain.capacity import Host
from rq_broker.domain.jobs import Status
from rq_broker.store.broker import Broker
from rq_broker.store.connection import connect
from rq_broker.store.embedded import Server

LIMIT = 150_000
"""Bytes that all files may have together, as they are sent."""
BATCH = 40
"""Events that are made between two looks at the page, so that it renders meanwhile."""
LONG = "long"
CHUNK = 500
"""Jobs of one call that fills the line."""
STEPS = 60
"""Frames of a scroll to the middle."""
BUSY = "busy"
"""A type of 1,000 hosts, filled by running jobs, in which moves are previewed."""
HOSTS, RUNNING, WAITING, PLACES = 1_000, 1_140, 1_300, 700
PAST = 12
"""Jobs that are over: with fewer than 10 nothing is forecast."""
PREVIEWS = 12
THOUGHT = 1.0
"""Seconds between two previews: whoever moves a row looks at it, and the pause of a type ends."""
SCROLL = """async steps => {
  const frames = [];
  const whole = document.documentElement.scrollHeight - innerHeight;
  for (let step = 1; step <= steps; step += 1) {
    const before = performance.now();
    scrollTo(0, whole / 2 * step / steps);
    await new Promise(done => requestAnimationFrame(() => setTimeout(done)));
    frames.push(performance.now() - before);
  }
  return frames.sort((a, b) => a - b);
}"""
PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
LOADED = """['resource', 'navigation'].flatMap(kind => performance.getEntriesByType(kind))
  .filter(each => each.entryType == 'navigation' || /dashboard\\//.test(each.name))
  .map(each => [each.name, each.encodedBodySize])"""


async def heap(page: Page) -> float:
    """Return the bytes of JavaScript's heap after a collection, in MB."""
    session = await page.context.new_cdp_session(page)
    await session.send("HeapProfiler.collectGarbage")
    usage: dict[str, Any] = await session.send("Runtime.getHeapUsage")
    await session.detach()
    return float(usage["usedSize"]) / 1e6


async def weigh(browser: Browser, url: str) -> None:
    """Print the bytes of all that the page loads, with and without charts, and when it paints."""
    paints = []
    for _ in range(5):
        context = await browser.new_context()
        page = await context.new_page()
        await page.goto(url)
        await page.locator("main h1").wait_for()
        paints.append(float(await page.evaluate(PAINT)))
        await context.close()
    page = await browser.new_page()
    for view, shown in (("", "main h1"), (f"reports/{scene.VM}", ".plot canvas")):
        await page.goto(f"{url}{view}")
        await page.locator(shown).first.wait_for()
        sizes = dict(await page.evaluate(LOADED))
        print(f"/{view}: {len(sizes)} files, gzipped {sum(sizes.values()) / 1000:.1f} KB")
    print(f"limit {LIMIT / 1000:.0f} KB")
    await page.close()
    print(f"first paint {sorted(paints)[2]:.0f} ms, median of 5, from {min(paints):.0f}")


async def live(browser: Browser, url: str, events: int) -> None:
    """Print the heap before and after many events, of which the page shows each batch."""
    page = await browser.new_page()
    await page.goto(f"{url}/line/{scene.VM}")
    await page.locator(".line-row").nth(5).wait_for()
    before = await heap(page)
    bodies = [{"priority": number} for number in (1, 2)]
    async with httpx.AsyncClient(base_url=url, timeout=60) as api:
        for done in range(0, events, BATCH):
            body = bodies[done // BATCH % 2]
            await asyncio.gather(
                *(api.post(f"/v1/vm/job-{n % 40:04}", json=body) for n in range(BATCH))
            )
    await page.wait_for_timeout(1_000)
    nodes = await page.evaluate("document.querySelectorAll('*').length")
    print(
        f"heap {before:.1f} MB, after {events} events {await heap(page):.1f} MB; {nodes} elements"
    )
    await page.close()


async def scroll(browser: Browser, url: str, jobs: int) -> None:
    """Print the times of the frames while a long line is scrolled to its middle, and the CPU time
    of the page's thread for each: that says what a frame costs on a machine that is busy, too."""
    page = await browser.new_page()
    await page.goto(f"{url}/line/{LONG}")
    await page.locator(".line-row").nth(5).wait_for()
    session = await page.context.new_cdp_session(page)
    await session.send("Performance.enable", {"timeDomain": "threadTicks"})
    before = await cpu(session)
    frames: list[float] = await page.evaluate(SCROLL, STEPS)
    used = (await cpu(session) - before) * 1000 / STEPS
    middle, late, worst = (frames[int(len(frames) * part) - 1] for part in (0.5, 0.95, 1))
    print(
        f"line of {jobs}: frame {middle:.0f} ms, 95 % {late:.0f} ms, worst {worst:.0f} ms; "
        f"{used:.1f} ms of CPU a frame"
    )
    await page.close()


async def preview(broker: Broker, url: str) -> None:
    """Print what the preview of a move by many places takes: time by the clock as a caller sees it,
    and CPU time of this process, in which the API is."""
    await fill_busy(broker)
    freeze_garbage()  # as an API process does at its start
    walls, cpus = [], []
    async with httpx.AsyncClient(base_url=url, timeout=60) as api:
        for n in range(PREVIEWS):
            body = {"request_id": f"wait-{PLACES + n:04}", "position": n + 1}
            started = time.perf_counter(), time.process_time()
            answer = await api.post(f"/types/{BUSY}/what-if", json=body)
            walls.append(1_000 * (time.perf_counter() - started[0]))
            cpus.append(1_000 * (time.process_time() - started[1]))
            change = answer.raise_for_status().json()["data"]["moves"][0]
            assert change["before"]["p50"] is not None, change  # else nothing was simulated
            await asyncio.sleep(THOUGHT)
    holding = (await broker.counts(BUSY)).get(Status.GRANTED, 0)
    print(
        f"preview of a move by {PLACES} places, {WAITING} waiting, {holding} hold, {HOSTS} hosts:"
    )
    for what, seen in (("by the clock", walls), ("CPU", cpus)):
        print(f"  {what}: median {median(seen):.0f} ms, {min(seen):.0f} to {max(seen):.0f}")


async def fill_busy(broker: Broker) -> None:
    """Fill the hosts of a type with granted jobs, behind which others wait."""
    await broker.set_policy(BUSY, {"queue_limits": {}, "most_hosts": HOSTS})
    for number in range(HOSTS):
        host = Host(f"host-{number:04}", {"VCPU": 32, "Memory": 131072})
        await broker.set_host(BUSY, host)
    for name, jobs in (("past", PAST), ("run", RUNNING), ("wait", WAITING)):
        for first in range(0, jobs, CHUNK):
            bodies = [_sized(name, number) for number in range(first, min(first + CHUNK, jobs))]
            await broker.submit_many(BUSY, [submission(body) for body in bodies])
        while await scene.grant(broker, BUSY):
            pass
        for number in range(PAST if name == "past" else 0):
            await broker.transition(BUSY, f"past-{number:04}", Status.RUNNING)
            await broker.transition(BUSY, f"past-{number:04}", Status.DONE)


def _sized(name: str, number: int) -> dict[str, Any]:
    cores = 8 + number % 24 if name == "wait" else 28 if number < HOSTS else 2
    data = {"instances": [{"VCPU": cores, "Memory": cores * 4096}]}
    # Many owners, as each may have only so many offers open at once.
    owner, expected = f"lab-{number % 40}", 600 + 60 * (number % 97)
    body = {"request_id": f"{name}-{number:04}", "owner_id": owner}
    return {**body, "data": data, "expected": expected}


async def cpu(session: CDPSession) -> float:
    """Return the CPU seconds that the page's thread has used."""
    metrics = (await session.send("Performance.getMetrics"))["metrics"]
    return float(next(each["value"] for each in metrics if each["name"] == "TaskDuration"))


async def fill_line(broker: Broker, jobs: int) -> None:
    """Fill a type of its own with so many waiting jobs."""
    await broker.set_policy(LONG, {"queue_limits": {}, "paused": True})
    for first in range(0, jobs, CHUNK):
        chunk = range(first, min(first + CHUNK, jobs))
        await broker.submit_many(LONG, [submission(_body(number)) for number in chunk])


def _body(number: int) -> dict[str, Any]:
    data = {"instances": [{"VCPU": 1 + number % 8, "Memory": 4096}]}
    return {"request_id": f"job-{number:07}", "owner_id": f"lab-{number % 9}", "data": data}


async def main(jobs: int, events: int, only_preview: bool) -> None:
    """Print all figures, or those of previews."""
    with TemporaryDirectory() as folder:
        server = Server(Path(folder))
        server.start()
        client = connect(server.url)
        broker = Broker(client)
        try:
            if only_preview:
                async with served(broker) as url:
                    await preview(broker, url)
                return
            await scene.fill(broker)
            await history.add_history(broker, scene.VM)
            await fill_line(broker, jobs)
            async with scene.notifier(broker), served(broker) as url, chromium() as browser:
                await weigh(browser, f"{url}/")
                await live(browser, url, events)
                await scroll(browser, url, jobs)
                await preview(broker, url)
        finally:
            await client.aclose()
            server.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000, help="jobs in the long line")
    parser.add_argument("--events", type=int, default=4_000, help="an hour's worth, one a second")
    parser.add_argument("--only", choices=["preview"], help="print nothing else")
    arguments = parser.parse_args()
    asyncio.run(main(arguments.jobs, arguments.events, arguments.only == "preview"))
