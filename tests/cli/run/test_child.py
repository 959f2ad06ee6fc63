"""The command that `run` runs, and the signals that it gets."""

from __future__ import annotations

import signal
import threading
import time

import pytest

from rq_broker.cli.run.child import FORWARDED, Child, Happenings, Signalled


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_that_another_thread_gets(number: signal.Signals) -> None:
    """The command has it soon, though the main thread waits and is not woken by it."""
    happenings: Happenings = Happenings()
    assert number in FORWARDED

    def raise_here() -> None:
        time.sleep(0.1)  # most often the main thread waits by then; nothing is proven else
        signal.pthread_kill(threading.get_ident(), number)

    before = signal.signal(number, lambda number, _: happenings.put(Signalled(number)))
    try:
        child = Child(["sleep", "20"], {"PATH": "/usr/bin:/bin"}, happenings, grace=1.0)
        threading.Thread(target=raise_here).start()
        began = time.monotonic()
        assert child.supervise() == 128 + number
        assert time.monotonic() - began < 10
    finally:
        signal.signal(number, before)
