"""Run the examples of the API's page, in its order, and write down what they answer.

The page shows the answers of rq_broker/api/static/answers.json. A test runs the same examples and
fails where an answer has another form by now: then run this script. It needs curl.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import json
import os
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import httpx
from anyio.from_thread import start_blocking_portal
from redis.asyncio import Redis, RedisCluster
from standins import applications

from rq_broker.api.examples import SERVER
from rq_broker.cli.api import build_app
from rq_broker.cli.notifier import open_notifier
from rq_broker.domain.capacity import Host
from rq_broker.settings import Settings
from rq_broker.store.broker import Broker
from rq_broker.store.connection import in_memory
from rq_broker.store.embedded import free_port

ANSWERS = Path(__file__).parents[1] / "rq_broker" / "api" / "static" / "answers.json"
ATTEMPT_SECONDS = 60.0
"""How long an example is tried anew: what it is about may be under way, as a grant is."""
STREAMED = 28
"""Exit status of curl where it ended a stream after its `--max-time`."""


class Sample(NamedTuple):
    """An example of an operation, as curl and in Python."""

    name: str
    curl: str
    python: str


def samples_of(document: dict[str, Any]) -> list[Sample]:
    """List the examples of a document in the page's order."""
    chapters = [tag["name"] for tag in document["tags"]]
    operations = [each for path in document["paths"].values() for each in path.values()]
    operations.sort(key=lambda each: (chapters.index(each["tags"][0]), each["x-order"]))
    return [
        Sample(operation["operationId"], curl["source"], python["source"])
        for operation in operations
        for curl, python in zip(*[iter(operation["x-codeSamples"])] * 2, strict=True)
    ]


@contextmanager
def serving(client: Redis | RedisCluster) -> Iterator[str]:
    """Serve what `rq-broker dev` serves, in a thread of its own; yields the URL."""
    with (
        start_blocking_portal() as there,
        there.wrap_async_context_manager(_serving(client)) as url,
    ):
        yield url


@asynccontextmanager
async def _serving(client: Redis | RedisCluster) -> AsyncIterator[str]:
    port = free_port()
    settings = Settings(
        callback_base=f"http://127.0.0.1:{port}/inbox/", callback_allow=("127.0.0.0/8",)
    )
    app = build_app(settings, client, dev=True)
    capacity = {"VCPU": 64, "Memory": 65536, "Disk": 1000}
    broker = Broker(client)
    await broker.set_host("vm", Host("host1", capacity, aggregates=frozenset({"host1"})))
    await broker.watch("vm", "placement", 1, 60.0)
    # It is polled no more since half an hour; after an hour the janitor would forget it.
    polled = int((time.time() - 1800) * 1000)
    await broker.runner.command("HSET", "rqb:{vm}:source:placement", "tried", polled)
    async with client, open_notifier(settings, client, (), dev=True) as notifier:
        task = asyncio.create_task(notifier.run())
        async with applications.serving(app, port=port) as server:
            yield applications.url_of(server)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def run_curl(command: str, url: str, home: Path) -> str:
    """Run a curl command against an API; returns the body. Raises what subprocess does."""
    (home / ".curlrc").write_text("fail-with-body\n")
    done = subprocess.run(
        ["sh", "-c", command.replace(SERVER, url)],
        env={**os.environ, "CURL_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, STREAMED):
        raise RuntimeError(f"{command}: {done.stdout}")
    return done.stdout


def run_python(code: str, url: str) -> None:
    """Run a Python example against an API. Raises what the example raises."""
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(code.replace(SERVER, url), "example", "exec"), {})


def attempt(action: Any, *arguments: Any) -> Any:
    """Call until it succeeds; raises its last error when it never does."""
    ends = time.monotonic() + ATTEMPT_SECONDS
    while True:
        try:
            return action(*arguments)
        except Exception:
            if time.monotonic() > ends:
                raise
            time.sleep(0.05)


def document_at(url: str) -> dict[str, Any]:
    """Read the document of an API."""
    document: dict[str, Any] = httpx.get(f"{url}/openapi.json").json()
    return document


def main() -> None:
    """Write the answers of all curl examples, the first one of each operation."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    answers: dict[str, Any] = {}
    with TemporaryDirectory() as home, serving(in_memory()) as url:
        for sample in samples_of(document_at(url)):
            text = attempt(run_curl, sample.curl, url, Path(home))
            with contextlib.suppress(ValueError):
                answers.setdefault(sample.name, json.loads(text))
    del answers["openapi"]
    ANSWERS.write_text(json.dumps(answers, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
