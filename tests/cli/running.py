"""Runs a command as click's test runner does."""

from __future__ import annotations

from typing import Any

from click.testing import CliRunner, Result

from rq_broker import cli


def invoke(*args: str, **variables: str) -> Result:
    """Run `rq-broker` with these arguments and environment variables."""
    return CliRunner().invoke(cli.main, args, env=variables)


def must_not_serve(*_: Any, **__: Any) -> None:
    """Replace a server that the command must not start."""
    raise AssertionError("the command went on to serve")
