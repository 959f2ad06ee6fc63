"""Mends what the audit finds, where the truth can be known: `rq-broker audit --repair`.

A job's hash is what is true of the job, and what jobs hold is what is true of hosts and owners.
Each repair is one script: it is atomic, and run again it changes nothing. What cannot be known,
such as a hash that cannot be read, is left as it is.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from rq_broker.domain import errors
from rq_broker.store import records
from rq_broker.store.audit import Finding, Severity
from rq_broker.store.keys import Keys, callback_digest, job_of, unfold
from rq_broker.store.runner import Runner

_NAMES_MEMBER = re.compile(r"names (\d{16}:.*), which is no ", re.DOTALL)
_IN_USE = re.compile(r"is \S+ but (\d+) is in use")
_OWNED = re.compile(r"has (-?\d+) in (waiting|bytes) but its jobs have (\d+)")
_KIND = re.compile(r"is no (\w+)")
_GONE = re.compile(r"names job (.*), which does not exist", re.DOTALL)


class Repair:
    """Mends one type at a time."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    async def repair(self, type_: str, findings: Iterable[Finding]) -> None:
        """Mend what findings name; audit again to see what is left.

        Raises:
            Unavailable: Redis does not answer, or takes no writes.
        """
        faults = [finding for finding in findings if finding.severity is Severity.FAULT]
        if not faults:
            return
        # 1. What nobody can read goes, so that the rest can be written.
        if keys := _pairs(faults, "key", _KIND):
            await self._runner.run("repair_keys", type_, keys=keys)
        # 2. Jobs next: what they hold decides what their hosts and owners have.
        for member, sets in _members(faults).items():
            callback = await self._callback(type_, member)
            await self._runner.run(
                "repair_job", type_, member=member, callback=callback, sets=sorted(sets)
            )
        for array in _subjects(faults, "array"):
            await self._runner.run("repair_array", type_, array=array)
        # 3. Then what is added up over all jobs, and what belongs to no job.
        await self._runner.run(
            "repair_type",
            type_,
            counters=_pairs(faults, "counter", _IN_USE),
            callbacks=_pairs(faults, "callback", _GONE),
            shapes=_subjects(faults, "shape"),
            receivers=_subjects(faults, "receiver"),
            servers=_subjects(faults, "server"),
            waiting=_owner_changes(faults, "waiting"),
            bytes=_owner_changes(faults, "bytes"),
        )

    async def _callback(self, type_: str, member: str) -> str | None:
        """Return the digest of the callback of a job, None if there is no job, or no hash."""
        name = job_of(member)[1]
        key = Keys(type_).of("job", name)
        try:
            fields = records.pairs(await self._runner.command("HGETALL", key))
        except errors.Internal:
            return None
        callback = unfold(fields, "callback")
        return callback_digest(callback, name) if callback else None


def _members(faults: Iterable[Finding]) -> dict[str, set[str]]:
    """Return the members that faults name, with the sets in which they should not be."""
    members: dict[str, set[str]] = {}
    for fault in faults:
        if fault.is_of_job:
            members.setdefault(fault.subject.removeprefix("job "), set())
        elif match := _NAMES_MEMBER.match(fault.text):
            members.setdefault(match[1], set()).add(fault.subject)
    return members


def _pairs(faults: Iterable[Finding], kind: str, pattern: re.Pattern[str]) -> list[str]:
    """Return name, value, … of the faults of one kind whose text tells a value."""
    return [
        text
        for fault in faults
        if fault.kind == kind and (match := pattern.match(fault.text))
        for text in (fault.subject.removeprefix(f"{kind} "), match[1])
    ]


def _owner_changes(faults: Iterable[Finding], name: str) -> list[str]:
    """Return owner, number, …: what has to be added to the owners' sums of this name."""
    return [
        text
        for fault in faults
        if fault.kind == "owner" and (match := _OWNED.match(fault.text)) and match[2] == name
        for text in (fault.subject.removeprefix("owner "), str(int(match[3]) - int(match[1])))
    ]


def _subjects(faults: Collection[Finding], kind: str) -> list[str]:
    return sorted({f.subject.removeprefix(f"{kind} ") for f in faults if f.kind == kind})
