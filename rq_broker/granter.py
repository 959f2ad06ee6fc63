"""Makes grants for one type: look, plan, commit, and again until a pass grants nothing."""

from __future__ import annotations

import asyncio
import uuid

from rq_broker.broker import Broker, View
from rq_broker.outlook import FIRST, JOBS, MOST_JOBS, Picture, picture
from rq_broker.planner import Plan, plan

TURN_SECONDS = 2.0
"""How long a dead planner keeps others from planning."""


class Granter:
    """The granter of one type in one process."""

    def __init__(self, broker: Broker, type_: str) -> None:
        self._broker = broker
        self._type = type_
        self._name = uuid.uuid4().hex
        self._view: View | None = None
        self._window = FIRST
        self._jobs = JOBS

    async def run_once(self) -> int:
        """Plan until nothing more fits; returns how many grants were committed."""
        granted = 0
        while await self._turn("take"):
            fresh = await self._pass()
            granted += fresh
            if not fresh and self._window == FIRST and not await self._turn("give"):
                break
        return granted

    async def _turn(self, what: str) -> bool:
        return bool(await self._broker.turn(self._type, self._name, what, TURN_SECONDS))

    async def _pass(self) -> int:
        seen = await picture(self._broker, self._type, self._view, self._window, jobs=self._jobs)
        self._view = seen.view
        planned = plan(seen.snapshot)
        self._jobs = min(self._jobs * 4, MOST_JOBS) if planned.more else JOBS
        fences = await asyncio.gather(
            *(self._broker.grant(self._type, each, seen.view) for each in planned.grants)
        )
        await self._note(seen, planned)
        granted = sum(fence is not None for fence in fences)
        self._window = FIRST if granted else seen.next
        return granted

    async def _note(self, seen: Picture, planned: Plan) -> None:
        if planned.passed or planned.protection != seen.view.protection:
            await self._broker.note(self._type, planned.protection, planned.passed)
