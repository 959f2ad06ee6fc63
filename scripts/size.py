"""Print the size of the product: lines, files per folder, longest file, longest function.

`size.py [checkout]` measures another checkout, to compare. A line of code is one that is neither
blank nor comment nor docstring.
"""

from __future__ import annotations

import argparse
import ast
import io
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

_PROSE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}


def python_code_lines(text: str) -> int:
    """Count lines that hold a token, without comments and docstrings."""
    docstrings: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            docstrings.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _PROSE and token.type != tokenize.ENDMARKER:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - docstrings)


def lua_code_lines(text: str) -> int:
    """Count lines that are neither blank nor a comment."""
    lines = (line.strip() for line in text.splitlines())
    return sum(bool(line) and not line.startswith("--") for line in lines)


def functions(path: Path) -> Iterator[tuple[int, str]]:
    """List each function of a Python file: its length in lines, and its place."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            yield length, f"{path.name}:{node.lineno} {node.name}"


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    own = Path(__file__).parents[1]
    words.add_argument("checkout", type=Path, nargs="?", default=own, help="to measure (this one)")
    root = words.parse_args().checkout
    package = root / "rq_broker"
    files: defaultdict[str, int] = defaultdict(int)
    totals: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    sizes: list[tuple[int, str]] = []
    longest: list[tuple[int, str]] = []
    for path in sorted([*package.rglob("*.py"), *package.rglob("*.lua")]):
        text = path.read_text()
        lines = len(text.splitlines())
        code = (lua_code_lines if path.suffix == ".lua" else python_code_lines)(text)
        files[path.parent.relative_to(root).as_posix()] += 1
        totals[path.suffix][0] += lines
        totals[path.suffix][1] += code
        sizes.append((lines, path.relative_to(root).as_posix()))
        longest += functions(path) if path.suffix == ".py" else []
    for suffix, (lines, code) in totals.items():
        print(f"{suffix}: {lines:,} lines, {code:,} of code")
    print("files per folder:", ", ".join(f"{name} {count}" for name, count in files.items()))
    print("longest files:", ", ".join(f"{name} {lines}" for lines, name in sorted(sizes)[:-4:-1]))
    print("longest functions:", ", ".join(f"{n} {at}" for n, at in sorted(longest)[:-4:-1]))


if __name__ == "__main__":
    main()
