"""The commands: their help, what each one imports, and the address they refuse to serve on."""

from __future__ import annotations

import json
import logging
import subprocess
import sys

import pytest
import uvicorn

from rq_broker import __version__
from rq_broker.cli import dev
from tests.cli.running import invoke, must_not_serve

COMMANDS = ("api", "audit", "dev", "notifier", "scripts", "token")


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


@pytest.mark.parametrize("args", [(), *((command,) for command in COMMANDS)], ids=str)
def test_help_imports_neither_redis_nor_http(args: tuple[str, ...]) -> None:
    """Help loads only click and the settings, so that it appears at once."""
    modules = modules_after(
        "from rq_broker.cli import main\n"
        f"with contextlib.suppress(SystemExit): main({[*args, '--help']})"
    )
    slow = {"redis", "fakeredis", "starlette", "uvicorn", "httpx", "msgspec", "orjson", "asyncio"}
    assert not modules & slow
    errors = "rq_broker.domain.errors."
    ours = {name for name in modules if name.startswith("rq_broker.")}
    assert {name for name in ours if not name.startswith(errors)} <= {
        "rq_broker.cli",
        "rq_broker.cli.commands",
        "rq_broker.cli.log_lines",
        "rq_broker.cli.option",
        "rq_broker.cli.options",
        "rq_broker.cli.provider_options",
        "rq_broker.cli.secret_files",
        "rq_broker.domain",
        "rq_broker.domain.errors",
        "rq_broker.domain.identity",
        "rq_broker.domain.scrubbing",
        "rq_broker.settings",
        "rq_broker.store",
        "rq_broker.store.encryption",
        "rq_broker.store.redis_url",
    }


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
