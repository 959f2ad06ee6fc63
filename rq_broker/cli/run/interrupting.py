"""Signals that come while no command runs: one ends the wait, later ones hurry the last call."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from rq_broker.cli.run.handling import handling

INTERRUPTING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""Signals that end the wait for the grant, and hurry what is said to the broker after that."""
LAST_CALL_SECONDS = 1.0
"""How long the last call may go on after a signal. With less, typing Ctrl-C twice leaves a job in
line, or a hold that lasts for minutes; with more, keys seem to do nothing where the broker is slow.
"""


class Interrupted(BaseException):
    """A signal came while no command ran."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class Interrupts:
    """Ends by signals what is under way: the wait for a grant, and then the last call."""

    def __init__(self, is_away: Callable[[], bool]) -> None:
        """Take what tells whether the broker does not answer: then nobody waits for it."""
        self._is_away = is_away
        self._hurry = 0
        """The signal that came during the last call, 0 for none."""
        self.is_last_call = False
        """Whether the job is being withdrawn or given back."""
        self.was_cut = False
        """Whether a signal ended the last call before the broker answered it."""

    @contextmanager
    def raised(self) -> Iterator[None]:
        """Raise Interrupted where a signal ends what is under way.

        When that is over, nothing but the exit code is left: until the process ends a late signal
        is ignored, so that it changes neither that nor what is told.
        """
        with handling([signal.SIGALRM], self._cut):
            try:
                with handling(INTERRUPTING, self._interrupt, then=signal.SIG_IGN):
                    yield
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if not self.is_last_call:
            self.is_last_call = True
            raise Interrupted(number)
        is_second = bool(self._hurry)
        self._hurry = number
        if is_second or self._is_away():
            self._cut(number, frame)
        signal.setitimer(signal.ITIMER_REAL, LAST_CALL_SECONDS)

    def _cut(self, _: int, __: FrameType | None) -> None:
        self.was_cut = True
        raise Interrupted(self._hurry)
