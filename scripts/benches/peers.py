"""What a user would build instead, installed for the benchmarks alone.

BullMQ and Fastify run on Node, Celery and arq behind FastAPI on this Python. Each is installed
once, in its newest version, in a folder of .venv; where that fails, the reason takes the figure's
place.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

from benches import kit

NODE_PACKAGES = ("bullmq", "ioredis", "fastify")
PYTHON_PACKAGES = {"celery": "celery[redis]", "arq": "arq"}
_FOLDER = kit.SCRIPTS.parent / ".venv" / "peers"
_COMPLETE = ".complete"
"""A file that an installation leaves at its end: one that was cut short is made anew."""


@cache
def node_peers() -> Path | str:
    """Find or install the peers on Node; returns their directory, or why they are not there."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        return "not measured: no node"
    folder = _FOLDER / "node"
    install = (npm, "install", "--no-audit", "--no-fund", *NODE_PACKAGES)
    return folder if _install(folder, install) else "not measured: npm install failed"


@cache
def python_peer(queue: str) -> Path | str:
    """Find or install FastAPI and a queue on Python; returns their directory, or why not.

    Each queue has its own, outside the project's packages: they need different versions of Redis's
    client.
    """
    folder = _FOLDER / queue
    pip = (sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", "install")
    command = (*pip, "--target", str(folder), "fastapi", "uvicorn", PYTHON_PACKAGES[queue])
    return folder if _install(folder, command) else "not measured: pip install failed"


def _install(folder: Path, command: tuple[str, ...]) -> bool:
    complete = folder / _COMPLETE
    if complete.exists():
        return True
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "package.json").write_text('{"private": true}')
    if subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode:
        return False
    complete.touch()
    return True


def node(folder: Path, script: str, *args: object) -> Any:
    """Run one of the .mjs files beside this one where the peers are; returns what it prints."""
    return kit.measured(*node_command(script, *args), cwd=folder)


def node_command(script: str, *args: object) -> tuple[str, ...]:
    """Build the command that runs one of the .mjs files beside this one."""
    return ("node", str(kit.SCRIPTS / "benches" / script), *map(str, args))
