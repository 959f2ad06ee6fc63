"""The live notifiers: each reports itself every second, and all read who else does.

A notifier that stops reporting is dead to the others. Its age must not depend on a clock that an
operator may step: a reader remembers the reports it saw, and counts on its own monotonic clock how
long the newest one has stood.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import orjson

from rq_broker.domain.errors import OlderNotifiers
from rq_broker.store import records
from rq_broker.store.keys import CONTRACT, NOTIFIERS
from rq_broker.store.runner import Runner


@dataclass(frozen=True, slots=True)
class NotifierReport:
    """What one notifier last said of itself."""

    name: str
    types: tuple[str, ...]
    """The types that it serves; empty: every type."""
    age: float
    """Seconds since its last report."""
    callbacks: str | None = None
    """The options that say where its callbacks may go; None: it does not tell them."""
    contract: int = CONTRACT
    """The version of the contract with Redis that it knows."""
    has_left: bool = False
    """Whether it is off the list: the last one that is. Only its types and age are known."""


@dataclass(frozen=True, slots=True)
class _Sighting:
    """The newest report of a notifier that this process has read."""

    text: str
    first_read: float
    """Monotonic time at which it was first read."""
    read_before: float | None
    """Monotonic time of the last read that showed an earlier report of the same notifier."""


LAST_LEFT = ""
"""The field of the list that tells of the last notifier that was taken off it: no notifier's name.
Without it a dead one's report would be the last that is known of a type, though others served it
since."""
UNTOLD_CONTRACT = 2
"""The version of the contract that a notifier knows which does not tell it: the last such one."""
REPORTS_COUNT = 5.0
"""Seconds for which a report counts when a job is refused because of it: several of its periods."""


async def refuse_older(runner: Runner, type_: str, subject: str, contract: int) -> None:
    """Refuse what notifiers of an older contract would misread.

    Args:
        runner: Runs the commands.
        type_: The type.
        subject: What they would misread, as a sentence names it.
        contract: The version of the contract that knows it.

    Raises:
        OlderNotifiers: An older notifier serves the type.
    """
    texts = records.pairs(await runner.command("HGETALL", NOTIFIERS))
    now = await runner.now()
    for name, text in texts.items():
        try:
            fields = orjson.loads(text)
            is_recent = now - fields["reported"] / 1000 < REPORTS_COUNT
            serves = not fields["types"] or type_ in fields["types"]
            is_older = int(fields.get("contract", UNTOLD_CONTRACT)) < contract
        except (ValueError, TypeError, KeyError, AttributeError):
            continue
        if is_recent and serves and is_older:
            raise OlderNotifiers(
                f"notifier {name} serves {type_} and does not know {subject}; upgrade it first"
            )


class Notifiers:
    """report_notifier, retire_notifier, notifiers."""

    def __init__(self, runner: Runner, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._runner = runner
        self._monotonic = monotonic
        self._sightings: dict[str, _Sighting] = {}
        self._last_read: float | None = None

    async def report_notifier(
        self, name: str, types: Collection[str] = (), callbacks: str | None = None
    ) -> None:
        """Report that a notifier is alive.

        Args:
            name: The notifier.
            types: Which types it serves; empty: every type.
            callbacks: The options that say where its callbacks may go, see Egress.options.
        """
        now = round(await self._runner.now() * 1000)
        report = {
            "reported": now,
            "types": sorted(types),
            "callbacks": callbacks,
            "contract": CONTRACT,
        }
        text = orjson.dumps(report).decode()
        await self._runner.command("HSET", NOTIFIERS, name, text)

    async def retire_notifier(self, name: str) -> None:
        """Take a notifier that stops, or has died, off the list; keep when the last one served."""
        texts = records.pairs(await self._runner.command("HGETALL", NOTIFIERS))
        report, last = _fields(texts.get(name, "")), _fields(texts.get(LAST_LEFT, ""))
        if report and (last is None or report["reported"] >= last["reported"]):
            left = {"left": report["reported"], "served": report["types"]}
            await self._runner.command("HSET", NOTIFIERS, LAST_LEFT, orjson.dumps(left).decode())
        await self._runner.command("HDEL", NOTIFIERS, name)

    async def notifiers(self) -> list[NotifierReport]:
        """Read what each notifier last reported, by name; first of the last one that has left.

        The age is the time since the report by Redis's clock, within the bounds that this process
        knows from its own reads: a step of Redis's clock neither revives nor kills a notifier.
        """
        texts = records.pairs(await self._runner.command("HGETALL", NOTIFIERS))
        now = await self._runner.now()
        self._note(texts)
        reports = (self._report(name, text, now) for name, text in sorted(texts.items()))
        return [report for report in reports if report]

    def _note(self, texts: dict[str, str]) -> None:
        """Remember when each report was first read; forget notifiers that are listed no more."""
        read = self._monotonic()
        sightings = {}
        for name, text in texts.items():
            known = self._sightings.get(name)
            if known is None or known.text != text:
                known = _Sighting(text, read, self._last_read if known else None)
            sightings[name] = known
        self._sightings, self._last_read = sightings, read

    def _report(self, name: str, text: str, now: float) -> NotifierReport | None:
        """Decode a report; None for a text that no notifier writes."""
        fields = _fields(text)
        if fields is None:
            return None
        sighting, read = self._sightings[name], self._monotonic()
        least = read - sighting.first_read
        most = read - sighting.read_before if sighting.read_before is not None else float("inf")
        age = min(max(now - fields["reported"] / 1000, least), most)
        return NotifierReport(
            name,
            tuple(fields["types"]),
            age,
            fields["callbacks"],
            fields["contract"],
            has_left=name == LAST_LEFT,
        )


def _fields(text: str) -> dict[str, Any] | None:
    """Read a report, or what is kept of the last that left; None for what no notifier writes."""
    try:
        fields = orjson.loads(text)
        callbacks = fields.get("callbacks")
        if "left" in fields:
            fields |= {"reported": fields["left"], "types": fields["served"]}
        return {
            "reported": int(fields["reported"]),
            "types": [*map(str, fields["types"])],
            "callbacks": None if callbacks is None else str(callbacks),
            "contract": int(fields.get("contract", UNTOLD_CONTRACT)),
        }
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
