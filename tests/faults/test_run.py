"""`rq-broker run` as real processes: exit codes, signals, a terminal's keys, lost holds."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from rq_broker.client import Client
from rq_broker.domain import errors
from rq_broker.store.embedded import Server
from tests.faults.gate import Gate
from tests.processes import Child, Children, children, until
from tests.terminals import terminal

RUN = [sys.executable, "-m", "rq_broker", "run", "lab"]
TRAP = """
import signal, time

def end(*_):
    print("GOT", flush=True)
    raise SystemExit(7)

signal.signal(signal.SIGINT, end)
signal.signal(signal.SIGCONT, lambda *_: print("on", flush=True))
print("up", flush=True)
while True:
    time.sleep(0.05)
"""
"""Says `up`, and `on` where it is continued; says so and ends with 7 at an interrupt. It is no
shell: one that is stopped while it starts a process may stop only once that process goes on."""


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    """One broker for the tests that do it no harm."""
    folder = tmp_path_factory.mktemp("run")
    server = Server(folder / "redis")
    server.start()
    with children(folder) as spawn:
        child = spawn.api(server.url)
        spawn.notifier(server.url)
        child.ready()
        with Client(child.url) as client:
            client.set_host("lab", "bench", capacity={"Slots": 8, "Key": 1})
        yield child
    server.stop()


@pytest.fixture
def client(api: Child) -> Iterator[Client]:
    with Client(api.url) as opened:
        yield opened


RUNS = 20
MANY = """
import json, os, sys

from rq_broker import cli

def run(number):
    words = ["run", "many", "--name", f"n{number}", "-q", "--", "sh", "-c", f"exit {number % 5}"]
    try:
        cli.main(words)
    except SystemExit as ended:
        os._exit(ended.code)

pids = {}
for number in range(int(sys.argv[1])):
    pid = os.fork()
    if not pid:
        run(number)
    pids[pid] = number
codes = {}
while pids:
    pid, status = os.wait()
    codes[pids.pop(pid)] = os.waitstatus_to_exitcode(status)
print(json.dumps([codes[number] for number in sorted(codes)]))
"""
"""Runs so many commands at once, each in a process of its own; prints their exit codes."""


def run(spawn: Children, api: Child, name: str, *words: str) -> Child:
    return spawn.start("run", "lab", "--name", name, *words, RQ_BROKER_SERVER=api.url)


async def status(client: Client, name: str, *expected: str) -> None:
    """Wait until a job has one of some statuses, or is gone where none is given."""

    async def has_it() -> bool:
        try:
            return client.read("lab", name)["Status"] in expected
        except errors.JobNotFound:
            return not expected

    await until(has_it, f"{name} to be {expected}")


async def shows(child: Child, text: str) -> None:
    async def printed() -> bool:
        return text in child.output()

    await until(printed, f"{text!r} in the output")


async def test_exit_codes(spawn: Children, api: Child, client: Client, tmp_path: Path) -> None:
    """The exit code is the command's, as a shell has it, and the job is `done` after 0 only."""
    (tmp_path / "no-program").write_text("x")
    busy = run(spawn, api, "taken", "--", "sleep", "60")
    await status(client, "taken", "running")
    cases = {
        "zero": (("true",), 0, "done", None),
        "three": (("sh", "-c", "exit 3"), 3, "error", "exit code 3"),
        "killed": (("sh", "-c", "kill -9 $$"), 137, "error", "ended by SIGKILL"),
        "nowhere": (("no-such-command",), 127, None, None),
        "nofile": (("./no-such-file",), 127, "error", "./no-such-file: No such file or directory"),
        "noexec": ((str(tmp_path / "no-program"),), 126, "error", "Permission denied"),
        "taken": (("true",), 125, "running", None),
    }
    started = {name: run(spawn, api, name, "--", *case[0]) for name, case in cases.items()}
    for name, (_, code, expected, error) in cases.items():
        assert started[name].wait() == code, started[name].output()
        if expected is None:
            with pytest.raises(errors.JobNotFound):
                client.read("lab", name)
            continue
        job = client.read("lab", name)
        assert job["Status"] == expected
        assert (error or "") in (job["Error"] or "")
    assert "duplicate_request_id" in started["taken"].output()
    busy.process.send_signal(signal.SIGTERM)
    assert busy.wait() == 143
    assert client.read("lab", "taken")["Error"] == "ended by SIGTERM"


async def test_the_command_knows_its_hold(spawn: Children, api: Child, client: Client) -> None:
    """Hosts, name, fence and type are in its environment; input and output are its own."""
    script = "import json, os; print(json.dumps(dict(os.environ)))"
    words = ("--need", "Slots=1", "--count", "2", "--expected", "2h", "-q", "--")
    ended = run(spawn, api, "env", *words, sys.executable, "-c", script)
    assert ended.wait() == 0
    environment = json.loads(ended.output())  # -q: nothing else is printed
    job = client.read("lab", "env")
    assert environment["RQ_BROKER_HOSTS"] == "bench,bench"
    assert environment["RQ_BROKER_REQUEST_ID"] == "env"
    assert environment["RQ_BROKER_FENCE"] == str(job["Fence"])
    assert environment["RQ_BROKER_JOB_TYPE"] == "lab"
    assert (job["Status"], job["Expected"]) == ("done", 7200)


async def test_ctrl_c_while_it_waits(spawn: Children, api: Child, client: Client) -> None:
    """The progress line tells place and reason; Ctrl-C, or SIGTERM, withdraws the job."""
    holder = run(spawn, api, "holder", "--need", "Key=1", "--", "sleep", "60")
    await status(client, "holder", "running")
    words = [*RUN, "--need", "Key=1", "--name", "w", "--", "true"]
    with terminal(words, RQ_BROKER_SERVER=api.url) as waiting:
        waiting.expect("lab/w place 1 in line; needs Key 1")
        waiting.type("\x03")
        assert waiting.wait() == 130
        assert "withdrawn" in waiting.output
    await status(client, "w")
    plain = run(spawn, api, "p", "--need", "Key=1", "--", "true")
    await shows(plain, "rq-broker: lab/p place 1 in line; needs Key 1")
    plain.process.send_signal(signal.SIGTERM)
    assert plain.wait() == 143
    await status(client, "p")
    gone = run(spawn, api, "g", "--need", "Key=1", "--", "true")
    await status(client, "g", "queued")
    client.withdraw("lab", "g")
    assert gone.wait() == 124, gone.output()
    holder.kill()
    client.withdraw("lab", "holder")


@pytest.fixture
def trap(tmp_path: Path) -> list[str]:
    """Return the command that runs TRAP."""
    script = tmp_path / "trap.py"
    script.write_text(TRAP)
    return [sys.executable, str(script)]


def test_ctrl_c_while_it_runs(api: Child, client: Client, trap: list[str]) -> None:
    """The terminal's Ctrl-C reaches the command once, and its exit code is that of `run`."""
    with terminal([*RUN, "--name", "c", "--", *trap], RQ_BROKER_SERVER=api.url) as shown:
        shown.expect("up\r\n")
        shown.type("\x03")
        assert shown.wait() == 7
        assert shown.output.count("GOT") == 1
    assert client.read("lab", "c")["Error"] == "exit code 7"


def test_ctrl_z_and_fg(api: Child, trap: list[str]) -> None:
    """Ctrl-Z stops `run` with its command, as the shell shows; `fg` resumes both."""
    with terminal(["bash", "--norc", "-i"], RQ_BROKER_SERVER=api.url, PS1="$ ") as shell:
        words = " ".join([*RUN, "--name", "z", "-q", "--", *trap])
        shell.type(f"{words}\n")
        shell.expect("up\r\n")
        shell.type("\x1a")
        shell.expect("Stopped")
        shell.type("fg\n")
        shell.expect("on\r\n")
        shell.type("\x03")
        shell.expect("GOT")
        shell.type("echo code=$?\n")
        shell.expect("code=7")
        shell.type(f"{' '.join(RUN)} --name i -q -- sh -c 'read x; echo got $x' | cat\n")
        shell.type("hello\n")
        shell.expect("got hello")


async def test_a_lost_hold_ends_the_command(
    spawn: Children, api: Child, client: Client, tmp_path: Path
) -> None:
    """Whatever ends the hold ends the command: by SIGTERM, and by SIGKILL what ignores that."""
    stubborn = ("--grace", "1s", "--", "sh", "-c", f"trap '' TERM; touch {tmp_path}/up; sleep 60")
    lost = {
        "requeued": run(spawn, api, "requeued", "--", "sleep", "60"),
        "deleted": run(spawn, api, "deleted", "--", "sleep", "60"),
        "ended": run(spawn, api, "ended", *stubborn),
    }
    for name in lost:
        await status(client, name, "running")

    async def is_up() -> bool:
        return (tmp_path / "up").exists()

    await until(is_up, "the command")
    client.transition("lab", "requeued", "queued")
    client.withdraw("lab", "deleted")
    client.transition("lab", "ended", "done")
    for name, child in lost.items():
        assert child.wait() == 123, (name, child.output())
        assert "is held no more" in child.output()
    client.withdraw("lab", "requeued")


LATE = "not given back: the broker ends the hold by itself"


@pytest.mark.parametrize(
    ("signals", "opens"),
    [
        ([signal.SIGTERM], True),
        ([signal.SIGTERM], False),
        ([signal.SIGINT, signal.SIGTERM], False),
    ],
    ids=["answered", "late", "twice"],
)
async def test_a_signal_while_it_gives_back(
    spawn: Children, api: Child, client: Client, signals: Sequence[signal.Signals], opens: bool
) -> None:
    """The broker has a moment to answer; then, or at a second signal, `run` ends, and says so."""
    gate = Gate(api, b"exit code 3")
    async with gate.serving() as url:
        words = ("--name", "late", "--", "sh", "-c", "exit 3")
        child = spawn.start("run", "lab", *words, RQ_BROKER_SERVER=url)
        await gate.reached.wait()
        for number in signals:
            child.process.send_signal(number)
        if opens:
            gate.is_open.set()
        assert await asyncio.to_thread(child.wait) == 3, child.output()
    assert (LATE in child.output()) != opens, child.output()
    client.withdraw("lab", "late")


async def test_two_signals_at_once_withdraw(spawn: Children, api: Child, client: Client) -> None:
    """Whoever types Ctrl-C twice leaves no job in line, and is told the truth."""
    holder = run(spawn, api, "holds", "--need", "Key=1", "--", "sleep", "60")
    await status(client, "holds", "running")
    twice = run(spawn, api, "twice", "--need", "Key=1", "--", "true")
    await shows(twice, "place 1 in line")
    # Stopped meanwhile, it gets both at once, however busy the machine is.
    for number in (signal.SIGSTOP, signal.SIGINT, signal.SIGTERM, signal.SIGCONT):
        twice.process.send_signal(number)
    assert twice.wait() in (130, 143)
    assert "lab/twice is withdrawn" in twice.output()
    await status(client, "twice")
    holder.kill()
    client.withdraw("lab", "holds")


async def test_many_at_once(spawn: Children, api: Child, client: Client, tmp_path: Path) -> None:
    """Each of many parallel runs ends with its command's exit code, and nothing stays held."""
    client.set_host("many", "bench", capacity={"Slots": 3})
    script = tmp_path / "many.py"
    script.write_text(MANY)
    program = Children(tmp_path, spawn.started, program=(sys.executable, str(script)))
    child = program.start(str(RUNS), RQ_BROKER_SERVER=api.url)
    assert await asyncio.to_thread(child.wait) == 0, child.output()
    assert json.loads(child.output().splitlines()[-1]) == [number % 5 for number in range(RUNS)]
    assert client.host("many", "bench")["held"] == {}
    counts = client.types()["many"]
    assert (counts["done"], counts["error"]) == (RUNS // 5, RUNS - RUNS // 5)
