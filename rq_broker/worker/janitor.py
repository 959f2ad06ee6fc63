"""Ends what has reached its deadline: offers, running times, retention."""

from __future__ import annotations

from rq_broker.store.broker import Broker


class Janitor:
    """The janitor of one type in one process."""

    def __init__(self, broker: Broker, type_: str) -> None:
        self._broker = broker
        self._type = type_

    async def run_once(self) -> float | None:
        """Sweep until nothing is past its deadline.

        Returns:
            Seconds until the next deadline; None if there is none.
        """
        while True:
            wait, swept = await self._broker.sweep(self._type)
            if not swept:
                return wait
