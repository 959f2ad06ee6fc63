"""Signals around one run, in a process of their own."""

from __future__ import annotations

import subprocess
import sys

LATE = """
import os, signal
from rq_broker.cli.run.interrupting import INTERRUPTING, Interrupted, Interrupts

try:
    with Interrupts(lambda: False).raised():
        os.kill(os.getpid(), signal.SIGINT)
except Interrupted as interruption:
    print(interruption)
for number in INTERRUPTING:
    os.kill(os.getpid(), number)
raise SystemExit(130)
"""


def test_a_late_signal_changes_no_exit_code() -> None:
    """Whoever goes on typing Ctrl-C as the run tells its end gets the exit code of that end."""
    done = subprocess.run([sys.executable, "-c", LATE], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("SIGINT\n", "", 130)
