"""The processes of the OpenStack cloud, with programs of the machine in place of services."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from openstack_cloud import layout
from openstack_cloud.processes import Processes

SCRIPT = """
import signal, sys, time
from tempfile import TemporaryDirectory
sys.path.insert(0, sys.argv[1])
from openstack_cloud.signals import SIGNALS, end_at_signals
for number in SIGNALS:  # tests may run in background, where some are ignored
    signal.signal(number, signal.SIG_DFL)
end_at_signals()
with TemporaryDirectory() as directory:
    print(directory, flush=True)
    time.sleep(600)
"""
"""Waits with a folder of its own, as the demonstration and the chaos do."""
DAEMON = 'setsid sh -c "echo \\$\\$; exec sleep 600" & sleep 600'
"""Starts a process in a session of its own, prints its id, and stays."""


def lives(process: int) -> bool:
    """Tell whether a process runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_all_end_with_close(tmp_path: Path) -> None:
    """`close` ends a process and the daemon that it has started."""
    processes = Processes(tmp_path)
    processes.start("daemon", ["sh", "-c", DAEMON])
    until(lambda: processes.output("daemon").strip().isdigit())
    daemon = int(processes.output("daemon"))
    assert processes.runs("daemon")
    assert lives(daemon)
    processes.close()
    assert not lives(daemon)


def test_all_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    """A process whose starter is killed with SIGKILL ends, and what it has started too."""
    program = (
        "import sys, time; from pathlib import Path\n"
        "from openstack_cloud.processes import Processes\n"
        f"Processes(Path({str(tmp_path)!r})).start('daemon', ['sh', '-c', {DAEMON!r}])\n"
        "time.sleep(600)\n"
    )
    scripts = Path(__file__).parents[2] / "scripts"
    path = f"{scripts}{os.pathsep}{scripts.parent}"
    parent = subprocess.Popen(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": path}
    )
    log = tmp_path / "daemon.out"
    until(lambda: log.exists() and log.read_text().strip().isdigit())
    daemon = int(log.read_text())
    assert lives(daemon)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    until(lambda: not lives(daemon))


def test_a_stubborn_process_is_killed(tmp_path: Path) -> None:
    """A process that ignores SIGTERM is killed when the patience is over, and can start again."""
    processes = Processes(tmp_path)
    stubborn = ["sh", "-c", "trap '' TERM; echo ready; while true; do sleep 1; done"]
    processes.start("stubborn", stubborn)
    until(lambda: "ready" in processes.output("stubborn"))
    processes.stop("stubborn", patience=0.1)
    assert not processes.runs("stubborn")
    processes.start("stubborn", stubborn)
    assert processes.runs("stubborn")
    processes.close()


def test_a_frozen_process_goes_on_when_thawed(tmp_path: Path) -> None:
    """`freeze` suspends a process, `thaw` lets it go on."""
    processes = Processes(tmp_path)
    processes.start("sleeper", ["sh", "-c", "echo $$; exec sleep 600"])
    until(lambda: processes.output("sleeper").strip().isdigit())
    stat = Path(f"/proc/{int(processes.output('sleeper'))}/stat")

    def state() -> str:
        return stat.read_text().rpartition(")")[2].split()[0]

    processes.freeze("sleeper")
    until(lambda: state() == "T")
    processes.thaw("sleeper")
    until(lambda: state() in "SR")
    processes.close()


def test_no_port_is_given_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers that do not listen yet have a port each: of a cloud, and of whatever joins it."""
    monkeypatch.setattr(layout, "_given", set[int]())
    monkeypatch.setattr(layout, "PORTS", range(20000, 20030))
    ports = [layout.free_port() for _ in range(20)]
    assert len(ports) == len({*ports})


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_script_cleans_up_at_each_signal(number: signal.Signals) -> None:
    """Ctrl-C, SIGTERM and a closed terminal end it by its `with`, in one word and no traceback."""
    script = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(Path(layout.__file__).parents[1])],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert script.stdout is not None
    folder = Path(script.stdout.readline().strip())
    assert folder.is_dir()
    script.send_signal(number)
    _, errors = script.communicate(timeout=30)
    assert (script.returncode, errors) == (1, "interrupted\n")
    assert not folder.exists()
