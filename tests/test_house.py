"""The house rules that no linter knows, read from the files themselves."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from importlib.metadata import packages_distributions
from pathlib import Path, PurePath

import pytest

from tests.pages import code, page, rows, spans

ROOT = Path(__file__).parents[1]
FOLDERS = ("rq_broker", "scripts", "tests")
TOP = {*FOLDERS, "pyproject.toml", "Makefile", "README.md"}
ESSAYS = {
    "rq_broker/store/contracts/__init__.py",
    "rq_broker/store/keys.py",
    "rq_broker/domain/jobs.py",
    "rq_broker/domain/errors/__init__.py",
    "rq_broker/delivery/http/errors.py",
    "rq_broker/sources/failures.py",
    "rq_broker/sources/feeds.py",
    "rq_broker/sources/file.py",
}
"""Where a module's docstring may be long: it draws a tree, a contract, or a file's format. The
planner's too, whose package tells its algorithm."""
IGNORED = [line.strip("/") for line in (ROOT / ".gitignore").read_text().split()]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT, TOOLS = PYPROJECT["project"], PYPROJECT["tool"]
PINS = (ROOT / ".ci" / "constraints.txt").read_text().splitlines()
TARGETS = dict(re.findall(r"^([a-z-]+):.*?## (.+)$", (ROOT / "Makefile").read_text(), re.M))


def _files(*suffixes: str) -> Iterator[Path]:
    """Every file of the project, build products aside; of these suffixes only, if any are given."""
    for path in sorted(ROOT.rglob("*")):
        parts = path.relative_to(ROOT).parts
        ignored = any(fnmatch(part, name) for part in parts for name in [".git", *IGNORED])
        if path.is_file() and not ignored and (not suffixes or path.suffix in suffixes):
            yield path


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


FILES = {_name(path): path.read_text() for path in _files()}
TREES = {name: ast.parse(text) for name, text in FILES.items() if name.endswith(".py")}
README = FILES.get("README.md", "")


def _functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{name}:{node.lineno} {node.name}", node


def _lines(pattern: str) -> list[str]:
    return [
        f"{name}:{number} {line.strip()}"
        for name, text in FILES.items()
        for number, line in enumerate(text.splitlines(), 1)
        if re.search(pattern, line)
    ]


def _none(offenders: Iterable[str]) -> None:
    """Fail with the whole list, which a bare comparison would cut short."""
    found = sorted(offenders)
    assert not found, "\n".join(["", *found])


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def _plain(name: str) -> str:
    """Write a package's name as the registry compares it."""
    return name.lower().replace("_", "-")


def _dependencies() -> set[str]:
    """Name the packages that pyproject asks for, extras included."""
    wanted = [*PROJECT["dependencies"]]
    for extra in PROJECT["optional-dependencies"].values():
        wanted += extra
    names = (re.match(r"[\w.-]+", requirement) for requirement in wanted)
    return {_plain(name[0]) for name in names if name} - {PROJECT["name"]}


def test_no_file_is_long() -> None:
    """A file of Python or Lua has at most 400 lines."""
    code = {name: text for name, text in FILES.items() if name.endswith((".py", ".lua"))}
    _none(name for name, text in code.items() if len(text.splitlines()) > 400)


def test_no_function_is_long() -> None:
    """A function has at most 50 lines, its decorators not counted."""
    _none(where for where, node in _functions() if (node.end_lineno or 0) - node.lineno >= 50)


def test_every_test_says_what_it_proves() -> None:
    """A test's docstring is one paragraph that ends as a sentence does."""
    tests = [(where, node) for where, node in _functions() if node.name.startswith("test_")]
    silent = [
        where
        for where, node in tests
        if not re.fullmatch(r"[^\n].*[.!?]", ast.get_docstring(node) or "", re.S)
        or "\n\n" in (ast.get_docstring(node) or "")
    ]
    assert tests
    _none(silent)


def test_every_module_says_in_few_lines_why_it_exists() -> None:
    """A module's docstring has one to six lines; only the essays may be longer."""
    lengths = {
        name: len((ast.get_docstring(tree) or "").splitlines())
        for name, tree in TREES.items()
        if FILES[name].strip()
    }
    essays = {name for name in lengths if name in ESSAYS or name.startswith("rq_broker/planner/")}
    _none(name for name, length in lengths.items() if length == 0)
    _none(name for name in lengths.keys() - essays if lengths[name] > 6)


def test_the_top_level_stays_bare() -> None:
    """The top level holds what design allows, dotfiles and ignored build products: nothing else."""
    shown = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    _none(name for name in shown - TOP if not any(fnmatch(name, rule) for rule in IGNORED))


def test_nothing_is_left_for_later() -> None:
    """No file holds a note that something is unfinished."""
    _none(_lines(r"\b(TO[D]O|FIX[M]E|X[X]X)\b|Not[I]mplementedError\(\)|raise Not[I]mplemented"))


def test_what_silences_a_checker_gives_its_reason() -> None:
    """A comment that silences a checker goes on after the rule it silences: why."""
    _none(_lines(r"(type: [i]gnore(\[[\w, -]+\])?|[n]oqa(: [A-Z0-9, ]+)?|pragma: [n]o [a-z]+)\s*$"))


def test_no_file_holds_an_address_of_a_registry_or_a_path_of_one_machine() -> None:
    """Installing follows the machine's own settings, so no file names a registry or a home."""
    registries = (
        r"pypi\.[o]rg|pythonhosted\.[o]rg|npmjs\.[o]rg|deb\.[d]ebian|index-[u]rl|find-[l]inks"
    )
    _none(_lines(registries))
    _none(_lines(r"(?<![\w./-])/(wor[k]|roo[t]|hom[e])/"))


def test_pins_are_names_and_versions() -> None:
    """Every pin reads name==version, so it holds no address and reproduces anywhere."""
    _none(pin for pin in PINS if not re.fullmatch(r"[\w.-]+==[\w.!+-]+", pin))


def test_every_dependency_is_pinned() -> None:
    """Each package in pyproject has its pin; `make pins` writes them."""
    _none(_dependencies() - {_plain(pin.partition("==")[0]) for pin in PINS})


def test_the_package_imports_only_what_it_asks_for() -> None:
    """Whatever rq_broker imports is in pyproject, not there by the grace of another package."""
    owners = packages_distributions()
    modules = {
        module.partition(".")[0]
        for name, tree in TREES.items()
        if name.startswith("rq_broker/")
        for module in _imports(tree)
    }
    foreign = modules - sys.stdlib_module_names - {"rq_broker"}
    _none(name for name in foreign if not _dependencies() & {*map(_plain, owners.get(name, ()))})


def test_the_docs_tell_why_each_dependency_is_there() -> None:
    """The page on development names each package in pyproject once, and no other."""
    table = rows(page("development"), "dependency")
    named = [name for first_column, _ in table for name in spans(first_column)]
    assert sorted(named) == sorted(_dependencies())


def test_the_readme_is_short() -> None:
    """README has at most 150 lines; what is longer is a page in rq_broker/api/docs."""
    assert len(README.splitlines()) <= 150


def test_the_readme_begins_with_both_ways() -> None:
    """By line 24 of README a command is run on capacity, and a callback shown as it arrived."""
    first_screen = "\n".join(README.splitlines()[:24])
    assert "make run" in first_screen
    assert "rq-broker run vm " in first_screen
    assert "/inbox/" in first_screen


def test_the_documents_of_a_project_are_there() -> None:
    """Contributors find a guide, users a changelog with what is unreleased, all the licence."""
    assert FILES[".github/CONTRIBUTING.md"].startswith("# Contributing\n")
    assert re.search(r"^## \[Unreleased\]$", FILES[".github/CHANGELOG.md"], re.M)
    assert f"## [{PROJECT['version']}]" in FILES[".github/CHANGELOG.md"]
    assert "Apache License\n" in FILES[".github/LICENSE"]


def test_the_wheel_takes_along_what_is_no_code() -> None:
    """The licence, the pages, the scripts and the mark of types are named in pyproject."""
    assert PROJECT["license-files"] == [".github/LICENSE"]
    patterns = TOOLS["setuptools"]["package-data"]["rq_broker"]
    data = [name.removeprefix("rq_broker/") for name in FILES if name.startswith("rq_broker/")]
    _none(
        name
        for name in data
        if not name.endswith(".py") and not any(PurePath(name).match(each) for each in patterns)
    )


def test_make_alone_lists_every_target() -> None:
    """`make` without a word prints each documented target with what it does."""
    out = subprocess.run(["make", "-s"], cwd=ROOT, capture_output=True, text=True, check=True)
    listed = dict(re.findall(r"^ +make ([a-z-]+) +(.+)$", out.stdout, re.M))
    assert {"run", "test", "check", "bench"} <= TARGETS.keys()
    assert listed == TARGETS


def test_the_readme_names_the_first_commands() -> None:
    """README says how to run, test, check and measure, and which processes serve."""
    typed = "\n".join(code(README))
    made = set(re.findall(r"\bmake ([a-z][a-z-]*)", typed))
    named = set(re.findall(r"\brq-broker ([a-z][a-z-]*)", typed))
    assert {"run", "test", "check", "bench"} <= made
    assert {"api", "notifier", "scripts"} <= named


@pytest.mark.parametrize("script", [".ci/run", "scripts/install.sh"])
def test_scripts_can_be_run(script: str) -> None:
    """A shell script is executable, parses, and stops at the first failure."""
    assert (ROOT / script).stat().st_mode & 0o100
    assert subprocess.run(["bash", "-n", ROOT / script], check=False).returncode == 0
    assert "set -euo pipefail" in FILES[script]


def test_tests_mirror_the_package() -> None:
    """Each folder has a folder of tests, and each Lua script a test file of its name."""
    package = ROOT / "rq_broker"
    folders = {path.parent.relative_to(package).as_posix() for path in package.rglob("*.py")}
    wanted = {f"tests/{folder}/__init__.py" for folder in folders - {".", "api/docs"}}
    scripts = (package / "store/lua").glob("*.lua")
    wanted |= {f"tests/store/lua/test_{path.stem}.py" for path in scripts}
    _none(wanted - FILES.keys())
