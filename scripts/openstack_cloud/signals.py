"""Lets scripts that bring up a cloud end it, and remove their files, whichever signal ends them."""

from __future__ import annotations

import signal
from typing import NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def end_at_signals() -> None:
    """Leave every `with` at Ctrl-C, SIGTERM and a closed terminal; what is ignored stays so."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)


def _end(*_: object) -> NoReturn:
    for number in SIGNALS:  # a second one would end what cleans up
        signal.signal(number, signal.SIG_IGN)
    raise SystemExit("interrupted")
