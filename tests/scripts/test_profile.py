"""scripts/profile.py: where the time of a verb goes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from verb_profiles.report import Cost, in_scripts, redis_table
from verb_profiles.verbs import VERBS

ROOT = Path(__file__).parents[2]


def test_what_lua_takes_is_what_the_commands_leave() -> None:
    """A script's time includes that of its commands; the last line is the rest, for one."""
    cost = Cost(10, 0.001, 0.002, {"evalsha": (10, 300), "hset": (30, 60), "zadd": (10, 40)})
    assert in_scripts(cost) == 30
    rows = redis_table(cost).splitlines()
    assert rows[1].startswith("Redis: 200.0 µs of CPU for one.")
    assert rows[5:] == [
        "| evalsha | 1.00 | 30.00 |",
        "| hset | 3.00 | 6.00 |",
        "| zadd | 1.00 | 4.00 |",
        "| of the scripts, Lua itself and its calls | | 20.00 |",
    ]


def test_the_script_starts_beside_the_library_of_its_name() -> None:
    """It finds cProfile, which imports the standard library's `profile`, and lists the verbs."""
    command = [sys.executable, str(ROOT / "scripts" / "profile.py"), "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert all(verb in done.stdout for verb in VERBS)
