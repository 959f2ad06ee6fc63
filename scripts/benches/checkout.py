"""Checks an earlier commit out, to run it beside this one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[2]


@contextmanager
def checkout(revision: str) -> Iterator[Path]:
    """Check a commit out into a temporary directory, and remove it afterwards."""
    with TemporaryDirectory() as folder:
        tree = Path(folder) / "base"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--detach", tree, revision], check=True, capture_output=True)
        (tree / ".venv").symlink_to(sys.prefix)
        try:
            yield tree
        finally:
            subprocess.run([*git, "remove", "--force", tree], check=True)
