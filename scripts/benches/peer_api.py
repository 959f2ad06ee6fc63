"""An API in front of Celery or arq, as a user would build it: `peer_api.py celery|arq URL PORT`.

It runs on the packages of `peers.python_peer`, as one uvicorn worker.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from fastapi import FastAPI


@dataclass
class Job:
    """The body of a submit."""

    request_id: str
    owner_id: str
    data: dict[str, Any]
    callback: str


def celery(url: str) -> FastAPI:
    """Put jobs in Celery's queue, by the call that its users know: `delay`."""
    from celery import Celery  # noqa: PLC0415 - only the peer that is asked for is loaded

    queue = Celery(broker=url)
    queue.conf.task_ignore_result = True
    notify = queue.task(_notify, name="notify")

    async def submit(job: Job) -> dict[str, Any]:
        notify.delay(vars(job))
        return {"request_id": job.request_id, "ok": True}

    return _app(submit)


def arq(url: str) -> FastAPI:
    """Put jobs in arq's queue, each once: by its request_id."""
    from arq import connections  # noqa: PLC0415 - only the peer that is asked for is loaded

    pool: Any = None

    @asynccontextmanager
    async def connected(_: FastAPI) -> AsyncIterator[None]:
        nonlocal pool
        pool = await connections.create_pool(connections.RedisSettings.from_dsn(url))
        yield

    async def submit(job: Job) -> dict[str, Any]:
        await pool.enqueue_job("notify", vars(job), _job_id=job.request_id)
        return {"request_id": job.request_id, "ok": True}

    return _app(submit, lifespan=connected)


def _notify(job: dict[str, Any]) -> None:
    """Stand for the task; nothing runs it."""


def _app(submit: Callable[[Job], Any], **options: Any) -> FastAPI:
    app = FastAPI(**options)
    app.add_api_route("/jobs", submit, methods=["POST"], status_code=201)
    return app


if __name__ == "__main__":
    build = {"celery": celery, "arq": arq}[sys.argv[1]]
    uvicorn.run(build(sys.argv[2]), port=int(sys.argv[3]), log_level="warning", access_log=False)
