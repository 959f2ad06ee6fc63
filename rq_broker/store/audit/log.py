"""Checks that the audit log can be written: scripts make their changes without it, if it cannot."""

from __future__ import annotations

from rq_broker.domain import errors
from rq_broker.store.audit.walk import Walk


async def check_log(walk: Walk) -> None:
    """Report a log that is no stream, so that changes leave no lines."""
    try:
        await walk.command("XLEN", "audit")
    except errors.Internal:
        walk.fault("log audit", "is no stream, so that changes leave no line: delete the key")
