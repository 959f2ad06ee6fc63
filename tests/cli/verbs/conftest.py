"""A type of its own for each test, at an API that serves all tests of a module."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rq_broker import cli
from rq_broker.store.embedded import Server
from tests.cli.served import Served, served

Run = Callable[..., Result]
_numbers = count()


@pytest.fixture(scope="module")
def api(redis_server: Server) -> Iterator[Served]:
    with served(redis_server.url) as running:
        yield running


@pytest.fixture
def type_() -> str:
    """Return the name of a type that no other test uses."""
    return f"v{next(_numbers)}"


@pytest.fixture
def run(api: Served, tmp_path: Path) -> Run:
    """Run a command at the API, in a pipe."""

    def run(*words: str, input: str | None = None) -> Result:
        env = {"RQ_BROKER_SERVER": api.url, "XDG_CONFIG_HOME": str(tmp_path)}
        return CliRunner().invoke(cli.main, words, env=env, input=input)

    return run
