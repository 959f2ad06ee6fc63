"""What a TAB completes by the server: types, hosts and jobs.

A shell waits for it, so it is silent and empty where the server does not answer at once. It speaks
http.client, as httpx takes longer to import than a TAB may.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import click

from rq_broker.cli.connecting import connection_of

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

PATIENCE_SECONDS = 0.15
"""How long a TAB waits for the server, the look-up of its name included. With more it is felt."""
MOST_JOBS = 200
"""Jobs of a status that are offered, the first in line: more are no help."""
_STATUSES = {"move": ("queued",), "take": ("granted",), "done": ("running",)}
"""Command → the statuses of the jobs that it takes."""
_EVERY_STATUS = ("queued", "granted", "running", "")
"""Those of the other commands: ended jobs, kept for days, must not crowd out the rest."""
_MOST_BYTES = 4 << 20


def complete_types(
    ctx: click.Context,
    param: click.Parameter,  # noqa: ARG001 - click passes it
    incomplete: str,
) -> list[CompletionItem]:
    """Complete the name of a type."""
    return _items(_ask(ctx, "/v1/"), incomplete)


def complete_request_ids(
    ctx: click.Context,
    param: click.Parameter,  # noqa: ARG001 - click passes it
    incomplete: str,
) -> list[CompletionItem]:
    """Complete the request_id of a job of the type that was typed."""
    path = f"/v1/{_typed_type(ctx)}/?limit={MOST_JOBS}"
    statuses = _STATUSES.get(ctx.info_name or "", _EVERY_STATUS)
    answers = _ask_each(ctx, [f"{path}&status={status}" for status in statuses])
    names = {job["RequestID"]: job["Status"] for jobs in answers for job in jobs}
    return _items(names, incomplete)


def complete_hosts(
    ctx: click.Context,
    param: click.Parameter,  # noqa: ARG001 - click passes it
    incomplete: str,
) -> list[CompletionItem]:
    """Complete the name of a host of the type that was typed."""
    hosts = _ask(ctx, f"/types/{_typed_type(ctx)}/hosts/") or []
    return _items([host["name"] for host in hosts if "name" in host], incomplete)


def _typed_type(ctx: click.Context) -> str:
    return quote(ctx.params.get("type_") or "", safe="")


def _items(names: Any, incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem  # noqa: PLC0415 - only for a TAB

    helps = names if isinstance(names, dict) else {}
    return [
        CompletionItem(name, help=helps[name] if isinstance(helps.get(name), str) else None)
        for name in names or ()
        if name.startswith(incomplete) and name.isprintable()
    ]


def _ask(ctx: click.Context, path: str) -> Any:
    """Return the data that the server answers with; None if it does not at once."""
    answers = _ask_each(ctx, [path])
    return answers[0] if answers else None


def _ask_each(ctx: click.Context, paths: Sequence[str]) -> list[Any]:
    """Return the data of those answers, in this order, that come at once."""
    answers: list[Any] = []

    def ask() -> None:
        with suppress(Exception):  # whatever is wrong, a TAB only completes nothing
            for path in paths:
                answers.append(_get(url, token, path))

    try:
        with ctx.scope(cleanup=False):
            connection = connection_of(ctx.params)
    except click.ClickException:
        return []
    url, token = connection.url, connection.token
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PATIENCE_SECONDS)
    return list(answers)


def _get(url: str, token: str | None, path: str) -> Any:
    from http.client import HTTPConnection, HTTPSConnection  # noqa: PLC0415 - not for --help

    parts = urlsplit(url)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with closing(kind(parts.netloc, timeout=PATIENCE_SECONDS)) as connection:
        connection.request("GET", parts.path.rstrip("/") + path, headers=headers)
        return json.loads(connection.getresponse().read(_MOST_BYTES))["data"]
