"""Carries a verb out, first plainly and then under cProfile, and prints what it takes.

cProfile is taken by the class below it: the module imports `profile`, as which it finds our script.
"""

from __future__ import annotations

import argparse
import re
import time
from _lsprof import Profiler
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import CodeType
from typing import Any

from benches import kit

from rq_broker.store.broker import Broker
from verb_profiles.verbs import VERBS, Verb

_SCRIPTS = ("evalsha", "eval")
CLOCKS = {"wall": time.perf_counter, "cpu": time.thread_time}
_LEAST_CALLS = 0.005
"""Calls for one below which a command is not shown."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What carrying a verb out took."""

    count: int
    seconds: float
    """CPU of this process."""
    redis_seconds: float
    """CPU of Redis, with reading requests and writing replies."""
    commands: Mapping[str, tuple[int, int]]
    """Redis command → its calls, and the µs in it; those that scripts call are among them."""


def main() -> None:
    asked = arguments()
    verb = VERBS[asked.verb]
    profile = Profiler(CLOCKS[asked.clock])
    with TemporaryDirectory() as folder:
        with kit.store() as server:
            verb.prepare(server)
            frozen = kit.freeze(server, Path(folder) / "prepared.rdb")
        plain = min((carry_out(verb, frozen, None) for _ in range(asked.rounds)), key=in_scripts)
        carry_out(verb, frozen, profile)
    print(f"{plain.count:,} × {verb.unit}")
    print(redis_table(plain))
    print(python_table(profile, plain, asked.functions))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Print where the time of a verb goes.")
    parser.add_argument("verb", choices=VERBS, metavar="verb", help=", ".join(VERBS))
    parser.add_argument("--functions", type=int, default=30, help="functions shown (30)")
    parser.add_argument("--rounds", type=int, default=3, help="runs; the quickest counts (3)")
    parser.add_argument(
        "--clock",
        choices=CLOCKS,
        default="wall",
        help="of the functions: wall is exact on a quiet machine; cpu leaves out other processes, "
        "and adds some 0.5 µs a call",
    )
    return parser.parse_args()


def carry_out(verb: Verb, frozen: Path, profile: Profiler | None) -> Cost:
    """Carry a verb out on a server that begins with the prepared state."""
    with kit.store(frozen=frozen) as server, kit.plain(server) as client:

        async def measure(broker: Broker) -> Cost:
            async with verb.ready(broker, server) as work:
                client.config_resetstat()
                redis_started, started = kit.redis_cpu(client), time.process_time()
                if profile:
                    profile.enable()
                count = await work()
                if profile:
                    profile.disable()
                seconds = time.process_time() - started
                redis_seconds = kit.redis_cpu(client) - redis_started
                stats = commands(client.info("commandstats"))
                return Cost(count, seconds, redis_seconds, stats)

        return kit.run(server.url, measure)


def in_scripts(cost: Cost) -> float:
    """Return the µs in scripts for one, with those of the commands that they call."""
    return sum(us for name, (_, us) in cost.commands.items() if name in _SCRIPTS) / cost.count


def commands(stats: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """Read INFO commandstats; what only this script calls is left out."""
    found = {
        name.removeprefix("cmdstat_"): (int(row["calls"]), int(row["usec"]))
        for name, row in stats.items()
    }
    return {name: row for name, row in found.items() if not name.startswith(("config", "info"))}


def redis_table(cost: Cost) -> str:
    """Render what Redis did for one: the scripts in all, then the commands, most µs first."""
    lines = [
        "",
        f"Redis: {cost.redis_seconds / cost.count * 1e6:.1f} µs of CPU for one. By its own clock:",
        "",
        "| command | calls | µs |",
        "|---|---:|---:|",
    ]
    nested = 0.0
    for name, (calls, us) in sorted(cost.commands.items(), key=lambda item: -item[1][1]):
        nested += 0 if name in _SCRIPTS else us / cost.count
        if calls / cost.count >= _LEAST_CALLS:
            lines.append(f"| {name} | {calls / cost.count:.2f} | {us / cost.count:.2f} |")
    lines.append(
        f"| of the scripts, Lua itself and its calls | | {in_scripts(cost) - nested:.2f} |"
    )
    return "\n".join(lines)


def python_table(profile: Profiler, cost: Cost, functions: int) -> str:
    """Render the functions that take most by themselves; the profiler makes each of them slower."""
    entries = sorted(profile.getstats(), key=lambda entry: -entry.inlinetime)
    lines = [
        "",
        f"Python: {cost.seconds / cost.count * 1e6:.1f} µs of CPU for one. Under the profiler:",
        "",
        "| own µs | with callees | calls | function |",
        "|---:|---:|---:|---|",
    ]
    for entry in entries[:functions]:
        own, whole = (part / cost.count * 1e6 for part in (entry.inlinetime, entry.totaltime))
        calls = entry.callcount / cost.count
        lines.append(f"| {own:.2f} | {whole:.2f} | {calls:.2f} | {place(entry.code)} |")
    return "\n".join(lines)


def place(code: CodeType | str) -> str:
    """Name a function: its file below the package's folder, its line, its name."""
    if isinstance(code, str):  # built in
        return code.strip("<>")
    path = re.sub(r".*/(site-packages|python3[.][0-9]+)/", "", code.co_filename)
    path = path.removeprefix(f"{kit.SCRIPTS.parent}/")
    return f"{path}:{code.co_firstlineno} {code.co_name}"
