"""What a TAB offers: commands and options, and types, hosts and jobs from the server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from rq_broker import cli
from rq_broker.cli import completing
from rq_broker.domain.jobs import Status
from rq_broker.store.embedded import Server, free_port
from tests import making
from tests.cli.served import Served, served

Tab = Callable[..., list[str]]


@pytest.fixture(scope="module")
def api(redis_server: Server) -> Iterator[Served]:
    with served(redis_server.url) as running:
        running.run(_prepare(running))
        yield running


async def _prepare(running: Served) -> None:
    await making.publish(running.broker, "box 1", "tab-a")
    await making.publish(running.broker, "box2", "tab-b")
    for name in ("r1", "r2", "x\x1b[2J"):
        await making.submit(running.broker, name, "tab-a")
    await making.bring(running.broker, Status.DONE, "over", "tab-b")
    await making.bring(running.broker, Status.RUNNING, "runs", "tab-b")
    await making.submit(running.broker, "waits", "tab-b")


@pytest.fixture
def tab(api: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tab:
    """Complete the last of these words; returns what is offered."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("RQ_BROKER_SERVER", api.url)
    monkeypatch.setattr(completing, "PATIENCE_SECONDS", 30.0)  # this machine may be slow

    def tab(*words: str) -> list[str]:
        completer = ShellComplete(cli.main, {}, "rq-broker", "_RQ_BROKER_COMPLETE")
        return [item.value for item in completer.get_completions(list(words[:-1]), words[-1])]

    return tab


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("withd",), ["withdraw"]),
        (("host", "dr"), ["drain"]),
        (("list", "--sta"), ["--status"]),
        (("list", "tab-a", "--status", ""), ["queued", "granted", "running", "done", "error"]),
        (("list", "tab"), ["tab-a", "tab-b"]),
        (("show", "tab-a", ""), ["r1", "r2"]),
        (("show", "tab-b", ""), ["waits", "runs", "over"]),
        (("move", "tab-b", ""), ["waits"]),
        (("done", "tab-b", ""), ["runs"]),
        (("move", "tab-a", "r1", "--be"), ["--before"]),
        (("withdraw", "tab-a", "r1", "r"), ["r1", "r2"]),
        (("host", "show", "tab-a", "b"), ["box 1"]),
        (("top", "tab-b"), ["tab-b"]),
        (("policy", "tab-a", "pat"), ["patience="]),
        (("completion", "z"), ["zsh"]),
        (("show", "nope", "r"), []),
    ],
)
def test_what_is_offered(tab: Tab, words: tuple[str, ...], offered: list[str]) -> None:
    """Each place is completed by what it takes; a name that would move the cursor is left out."""
    assert [
        name for name in tab(*words) if name in offered or not name.startswith("tab")
    ] == offered


@pytest.mark.parametrize(
    "variables",
    [
        {"RQ_BROKER_SERVER": "http://127.0.0.1:PORT"},
        {"RQ_BROKER_SERVER": "http://[broken"},
        {"RQ_BROKER_SERVER": "no url"},
        {"RQ_BROKER_PROFILE": "nope", "RQ_BROKER_SERVER": ""},
        {"RQ_BROKER_TOKEN_FILE": "/nowhere"},
    ],
)
def test_a_tab_is_silent(
    tab: Tab,
    variables: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Without a server, and with options that are wrong, nothing is offered, and nothing said."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value.replace("PORT", str(free_port())))
    assert tab("list", "tab") == []
    assert tuple(capfd.readouterr()) == ("", "")


def test_a_server_that_is_slow_is_not_waited_for(tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes longer than a TAB may wait completes nothing."""
    monkeypatch.setattr(completing, "PATIENCE_SECONDS", 0.0)
    assert tab("list", "tab") == []


def test_bash_completes(api: Served, tmp_path: Path) -> None:
    """A bash that has read what `completion bash` prints completes by the real program."""
    program = tmp_path / "rq-broker"
    program.write_text(
        f"#!{sys.executable}\nfrom rq_broker.cli import main\nmain(prog_name='rq-broker')\n"
    )
    program.chmod(0o700)
    script = (
        'eval "$(rq-broker completion bash)"; COMP_WORDS=(rq-broker withdr); COMP_CWORD=1;'
        ' _rq_broker_completion rq-broker; echo "${COMPREPLY[@]}"'
    )
    path = f"{tmp_path}:{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "RQ_BROKER_SERVER": api.url}
    shell = subprocess.run(
        ["bash", "-c", script], env=env, capture_output=True, text=True, check=True
    )
    assert (shell.stdout, shell.stderr) == ("withdraw\n", "")
