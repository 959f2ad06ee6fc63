"""Runs what others wrote to check files that the broker prints: systemd, Helm, promtool and so on.

`.ci/run` installs them, and a missing one fails there. Elsewhere its test is skipped.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PACKAGES = Path(sys.prefix) / "servers" / "checkers"
"""Where `scripts/install.sh checkers` installs Helm's code and the parser."""


def _missing(what: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is not installed")
    pytest.skip(f"{what} is not installed")


def systemd_analyze(*args: str, cwd: Path) -> str:
    """Run systemd-analyze; return all that it prints."""
    if not shutil.which("systemd-analyze"):
        _missing("systemd-analyze")
    command = ["systemd-analyze", "--no-pager", *args]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def promtool(*args: str) -> str:
    """Run Prometheus' promtool; return all that it prints."""
    program = shutil.which("promtool") or PACKAGES / "promtool"
    if not Path(program).exists():
        _missing("promtool")
    done = subprocess.run([program, *args], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def _run(code: str, *args: str) -> Any:
    """Run a line of Python that sees the packages; return the JSON that it prints."""
    if not PACKAGES.is_dir():
        _missing("what `scripts/install.sh checkers` installs")
    command = [sys.executable, "-c", f"import json, sys; {code}", *args]
    variables = {**os.environ, "PYTHONPATH": str(PACKAGES)}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def helm(chart: Path, values: Any) -> tuple[list[str], dict[str, str]]:
    """Lint and render a chart; return the lint's warnings and errors, and template → its text."""
    lint, texts = _run(
        "from helm_python import chart; values = json.loads(sys.argv[2]); print(json.dumps(["
        "chart.lint(sys.argv[1], values=values, strict=True), "
        "chart.Chart.load(sys.argv[1]).render(values=values, name='here')]))",
        str(chart),
        json.dumps(values),
    )
    told = [message["error"] for message in lint["messages"] if message["severity"] > 1]
    return told + lint["errors"], {Path(name).name: text for name, text in texts.items()}


def compose_services(document: Any) -> list[str]:
    """Read a compose file by the specification, its merge keys resolved; return its services."""
    services: list[str] = _run(
        "import compose_spec; print(json.dumps(compose_spec.PyCompose.from_json("
        "sys.argv[1]).service_names()))",
        json.dumps(document),
    )
    return services
