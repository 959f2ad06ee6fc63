"""What `run` says where the broker never answers."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from rq_broker import cli
from rq_broker.cli.run.session import RunExit
from rq_broker.store.embedded import free_port


def test_who_does_not_answer_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """The sentence names the server that was called; no word of a job that nobody stored."""
    url = f"http://127.0.0.1:{free_port()}"
    words = ("run", "vm", "--outage", "1s", "--server", url, "--", "true")
    result = CliRunner().invoke(cli.main, words)
    assert result.exit_code == RunExit.REFUSED
    assert f"Error: no answer from {url}: " in result.stderr
    assert result.stderr.endswith("(unreachable)\n")
    assert "could not be withdrawn" not in caplog.text + result.stderr
