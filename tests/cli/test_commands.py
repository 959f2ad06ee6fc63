"""The commands: their help, what each one imports, and the address they refuse to serve on."""

from __future__ import annotations

import json
import logging
import subprocess
import sys

import click
import pytest
import uvicorn

from rq_broker import __version__
from rq_broker.cli import dev, main
from rq_broker.cli.commands import ENTRIES
from tests.cli.running import invoke, must_not_serve

COMMANDS = tuple(ENTRIES)


def modules_after(code: str) -> set[str]:
    """Return the names of all modules that a fresh Python has loaded after this code."""
    code = f"import contextlib, json, sys\n{code}\nprint(json.dumps(sorted(sys.modules)))"
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    return set(json.loads(output.splitlines()[-1]))


def test_version_and_help() -> None:
    """`--version` prints the package's version; `--help` names every command."""
    assert __version__ in invoke("--version").output
    shown = invoke("--help").output
    assert all(command in shown for command in COMMANDS)


SLOW = {"redis", "fakeredis", "starlette", "uvicorn", "httpx", "rich", "msgspec", "orjson",
        "asyncio"}  # fmt: skip


def test_the_list_of_commands_imports_none_of_them() -> None:
    """`--help`, and the completion of a command's name, load click and the table of commands."""
    for code in (
        "main(['--help'])",
        "main.shell_complete(__import__('click').Context(main), 'a'); raise SystemExit",
    ):
        modules = modules_after(
            f"from rq_broker.cli import main\nwith contextlib.suppress(SystemExit): {code}"
        )
        assert not modules & SLOW
        places = {f"rq_broker.cli.{entry.place.partition(':')[0]}" for entry in ENTRIES.values()}
        assert not modules & {*places, "rq_broker.settings", "rq_broker.cli.connecting"}


def test_help_imports_neither_redis_nor_http() -> None:
    """The help of every command loads no library that only its work needs, so it comes at once."""
    modules = modules_after(
        "from rq_broker.cli import main\n"
        f"for command in {COMMANDS}:\n"
        "    with contextlib.suppress(SystemExit): main([command, '--help'])"
    )
    assert not modules & SLOW


@pytest.mark.parametrize("name", COMMANDS)
def test_the_line_of_a_command(name: str) -> None:
    """The line in the list of commands is the first sentence of the command's own help."""
    command = main.get_command(click.Context(main), name)
    assert command
    sentence = " ".join((command.help or "").split("\n\n")[0].split()).partition(". ")[0]
    assert ENTRIES[name].help == sentence.removesuffix(".") + "."


def test_an_unknown_command() -> None:
    """A command that does not exist is a wrong use; the refusal names the nearest one."""
    result = invoke("audi")
    assert result.exit_code == 2
    assert "No such command 'audi'. Did you mean 'audit'?" in result.output
    assert "Did you mean" not in invoke("xyz").output


@pytest.mark.parametrize(
    ("command", "foreign"),
    [
        ("scripts", {"redis", "starlette", "uvicorn", "asyncio", "rq_broker.worker"}),
        ("audit", {"starlette", "uvicorn", "rq_broker.api", "rq_broker.worker"}),
        ("notifier", {"starlette", "uvicorn", "rq_broker.api"}),
        ("api", {"rq_broker.worker", "rq_broker.delivery.http.sender"}),
    ],
)
def test_a_command_imports_only_what_it_runs(command: str, foreign: set[str]) -> None:
    """The module of a command loads nothing that only other commands need."""
    assert not modules_after(f"import rq_broker.cli.{command}") & foreign


def test_requests_of_sources_are_not_logged() -> None:
    """A source that uses httpx adds no line to the log with each poll."""
    assert invoke("scripts").exit_code == 0
    assert not logging.getLogger("httpx").isEnabledFor(logging.INFO)
    assert logging.getLogger("httpx").isEnabledFor(logging.WARNING)


@pytest.mark.parametrize("command", ["api", "dev"])
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1"])
def test_an_address_beyond_loopback_is_refused_at_start(
    monkeypatch: pytest.MonkeyPatch, command: str, host: str
) -> None:
    """The refusal comes before anything is opened or started, and says what to do about it."""
    for name in ("run", "Server"):
        monkeypatch.setattr(uvicorn, name, must_not_serve)
    monkeypatch.setattr(dev, "Server", must_not_serve)
    result = invoke(command, "--host", host)
    assert result.exit_code == 1
    assert f"--host {host} is not loopback" in result.output
    assert "--insecure" in result.output
