"""Keeps in a file how far an audit is, so that another process can go on with it."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import orjson

from rq_broker.domain.jobs import Status
from rq_broker.store.audit.findings import Finding, Severity
from rq_broker.store.audit.walk import Tally, Walk

SAVE_SECONDS = 5.0
"""Seconds between two writes of the file. An audit that is cut off repeats at most so much."""


class Checkpoint:
    """The position of an audit over several types: the types it has done, and where it is."""

    def __init__(self, path: Path) -> None:
        """Read the file if there is one. Raises ValueError if it is no such file."""
        self._path = path
        self._saved_at = time.monotonic()
        self._state: dict[str, Any] = {"done": {}, "type": "", "walk": None}
        if path.exists():
            state = orjson.loads(path.read_bytes())
            if not isinstance(state, dict) or state.keys() != self._state.keys():
                raise ValueError(f"{path} is no position of an audit")
            self._state = state

    def done(self, type_: str) -> list[Finding] | None:
        """Return the findings of a type that an earlier process has audited; None for others."""
        rows = self._state["done"].get(type_)
        return None if rows is None else [_finding(row) for row in rows]

    def finish(self, type_: str, findings: list[Finding]) -> None:
        """Note that a type is done."""
        self._state["done"][type_] = [_row(finding) for finding in findings]
        self._state |= {"type": "", "walk": None}
        self._save()

    def note(self, walk: Walk, status: str, after: tuple[str, str]) -> None:
        """Note how far a walk is; writes the file every few seconds."""
        if time.monotonic() - self._saved_at < SAVE_SECONDS:
            return
        tally = walk.tally
        self._state |= {
            "type": walk.type,
            "walk": {
                "status": status,
                "after": after,
                "hosts_before": walk.hosts_before,
                "findings": [_row(finding) for finding in walk.findings],
                "members": tally.members,
                "held": tally.held,
                "usage": tally.usage,
                "holders": list(tally.holders),
                "member_by_fence": list(tally.member_by_fence.items()),
                "parked_at": list(tally.parked_at),
                "highest": tally.highest,
                "arrays": list(tally.arrays),
            },
        }
        self._save()

    def restore(self, walk: Walk) -> tuple[str, tuple[str, str]] | None:
        """Give a walk what an earlier process had collected; returns where to go on."""
        saved = self._state["walk"]
        if self._state["type"] != walk.type or saved is None:
            return None
        walk.hosts_before = saved["hosts_before"]
        walk.restore(_finding(row) for row in saved["findings"])
        held = defaultdict(Counter, {name: Counter(row) for name, row in saved["held"].items()})
        walk.tally = Tally(
            members=Counter(saved["members"]),
            held=held,
            usage=Counter(saved["usage"]),
            holders=set(saved["holders"]),
            member_by_fence=dict(saved["member_by_fence"]),
            parked_at=set(saved["parked_at"]),
            highest=Counter(saved["highest"]),
            arrays=set(saved.get("arrays", ())),
        )
        priority, member = saved["after"]
        return Status(saved["status"]), (priority, member)

    def remove(self) -> None:
        """Delete the file: the audit is complete."""
        self._path.unlink(missing_ok=True)

    def _save(self) -> None:
        """Write the file beside itself and replace it, so that it is always whole."""
        fresh = self._path.with_name(f"{self._path.name}.new")
        fresh.write_bytes(orjson.dumps(self._state))
        fresh.replace(self._path)
        self._saved_at = time.monotonic()


def _row(finding: Finding) -> list[str]:
    return [finding.severity, finding.subject, finding.text]


def _finding(row: list[str]) -> Finding:
    severity, subject, text = row
    return Finding(Severity(severity), subject, text)
