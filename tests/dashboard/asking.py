"""What tests of the page ask the API afterwards: what changed, and who did it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx


async def changes(url: str, type_: str, *verbs: str) -> list[tuple[str, str, Any]]:
    """Return verb, subject and `after` of the audit log's lines, the newest first.

    Only those of `verbs`, if any are named.
    """
    async with httpx.AsyncClient(base_url=url) as api:
        lines = (await api.get(f"/types/{type_}/audit")).json()["data"]
    return [
        (line["verb"], line["subject"], line["after"])
        for line in lines
        if not verbs or line["verb"] in verbs
    ]


async def read(url: str, path: str) -> Any:
    """Return the `data` of an answer."""
    async with httpx.AsyncClient(base_url=url) as api:
        return (await api.get(path)).json()["data"]


async def send(url: str, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
    """Make a call that must succeed; return its `data`."""
    async with httpx.AsyncClient(base_url=url) as api:
        answer = await api.request(method, path, json=body)
    assert answer.is_success, answer.text
    return answer.json()["data"]
