"""Makes grants for one type: look, plan, commit, and again until a pass grants nothing."""

from __future__ import annotations

import asyncio
import uuid

from rq_broker.admission.snapshot import FIRST, JOBS, MOST_JOBS, Picture, picture
from rq_broker.planner import Plan, plan
from rq_broker.store.broker import Broker, View

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
        self._rest = FIRST
        self._jobs = JOBS

    async def run_once(self) -> int:
        """Plan until nothing more fits; returns how many grants were committed."""
        granted, quiet = 0, True
        while await self._turn("take"):
            fresh = await self._pass()
            granted += fresh
            quiet = quiet and not fresh
            if self._window == self._rest == FIRST:  # the whole line was looked at
                if quiet and not await self._turn("give"):
                    break
                quiet = True
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
        self._move_on(seen.next, granted, planned.more)
        return granted

    def _move_on(self, after: int, granted: int, more: bool) -> None:
        """Look at the front of the line again after a grant, and then go on where that was.

        So order holds as far as it can, and no grants at the front keep the rest out of reach.
        """
        detour = self._window != self._rest
        if not detour and not (granted and more):
            self._rest = after
        self._window = FIRST if granted and not detour else self._rest

    async def _note(self, seen: Picture, planned: Plan) -> None:
        if planned.passed or planned.protection != seen.view.protection:
            await self._broker.note(self._type, planned.protection, planned.passed)
