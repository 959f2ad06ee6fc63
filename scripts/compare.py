"""Compare this checkout with an earlier commit, bench by bench: `compare.py REVISION [name …]`.

Both checkouts run their own `bench.py` in turns on the same machine, so load from elsewhere falls
on both. A ratio above 1 means that this checkout is faster, or smaller, than the earlier commit.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from statistics import median

from benches.checkout import ROOT, checkout

_LEAST = 0.97
"""The ratio below which a row is marked: two runs of one commit differ by some percent."""
_ROW = re.compile(r"\| ([^|\n]+?) +\| ([^|\d\n]*)([\d,.]+) ?(/s|ms|µs|bytes|MB)")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("revision", help="the commit to compare with")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each checkout (3)")
    parser.add_argument("--full", action="store_true", help="full sizes; else those of --quick")
    parser.add_argument("names", nargs="*", metavar="name", help="benches; else all")
    return parser.parse_intermixed_args()


def measure(tree: Path, options: list[str]) -> dict[str, float]:
    """Run one checkout's benches; returns each row's first figure, larger being better."""
    done = subprocess.run(
        [sys.executable, "scripts/bench.py", *options],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    figures = {}
    for name, _, digits, unit in _ROW.findall(done.stdout):
        value = float(digits.replace(",", ""))
        figures[name] = value if unit == "/s" else 1 / max(value, 1e-9)
    return figures


def main() -> None:
    asked = arguments()
    options = [*([] if asked.full else ["--quick"]), *asked.names]
    ratios: defaultdict[str, list[float]] = defaultdict(list)
    with checkout(asked.revision) as base:
        for _ in range(asked.rounds):
            before, after = measure(base, options), measure(ROOT, options)
            for name in before.keys() & after.keys():
                ratios[name].append(after[name] / before[name])
    print(f"| row | this checkout / {asked.revision} |\n|---|---|")
    for name, values in sorted(ratios.items()):
        mark = "" if median(values) >= _LEAST else f", below {_LEAST}"
        print(f"| {name} | {median(values):.2f} ({min(values):.2f} to {max(values):.2f}){mark} |")


if __name__ == "__main__":
    main()
