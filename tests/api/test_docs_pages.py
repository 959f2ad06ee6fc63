"""README and the pages: what they name exists, what they show parses, each link leads somewhere."""

from __future__ import annotations

import ast
import re
import shlex
import tomllib
from importlib import import_module
from pathlib import Path

import click
import generate
import orjson
import pytest

from rq_broker.api.submit import submission
from rq_broker.cli import main
from rq_broker.cli.run.session import variables as variables_of
from rq_broker.client import AsyncClient, Client, Grant
from rq_broker.domain import errors
from rq_broker.domain.reasons.table import ENDINGS
from rq_broker.settings import Settings
from rq_broker.sources.feeds import read_feeds
from rq_broker.store import contracts, keys
from tests.pages import (
    FOLDER,
    PAGES,
    ROOT,
    anchors,
    block,
    blocks,
    code,
    links,
    page,
    prose,
    rows,
    spans,
)

TARGETS = set(re.findall(r"^([a-z-]+):.*?## ", (ROOT / "Makefile").read_text(), re.M))
COMMANDS = {
    name: command
    for name in main.list_commands(click.Context(main))
    if (command := main.get_command(click.Context(main), name))
}
SUBCOMMANDS = {
    f"{name} {word}": subcommand
    for name, command in COMMANDS.items()
    if isinstance(command, click.Group)
    for word, subcommand in command.commands.items()
}
SPEAK_HTTP = {
    name
    for name, command in COMMANDS.items()
    for leaf in (command.commands.values() if isinstance(command, click.Group) else [command])
    if any(parameter.name == "server" for parameter in leaf.params) or name == "completion"
}
"""Commands that the page on the command line tells of; that on operating has the others."""
OPTIONS = {
    option: parameter
    for name, command in COMMANDS.items()
    if name not in SPEAK_HTTP
    for parameter in command.params
    for option in parameter.opts
    if option.startswith("--")
}

OTHER_PROGRAMS = ("openstack ", "pip ", "docker ", "helm ", "kubectl ", "systemctl ")
"""Begin lines whose options are not ours."""


each_page = pytest.mark.parametrize("name", PAGES)


# Form


@each_page
def test_a_page_begins_with_its_title(name: str) -> None:
    """The first line is the only first-level heading, so the server can name the page by it."""
    titles = re.findall(r"^# .+$", prose(PAGES[name]), re.M)
    assert titles == [PAGES[name].splitlines()[0]]


@each_page
def test_a_page_holds_no_html(name: str) -> None:
    """The server escapes HTML; only comments, which mark what is generated, are allowed."""
    text = re.sub(r"`[^`\n]*`", "", prose(PAGES[name]))
    assert re.findall(r"<(?!!-- )[^>\n]*>?", text) == []


@each_page
def test_a_table_is_regular(name: str) -> None:
    """Each row of a table has as many cells as its header, so none is lost when it is shown."""
    tables = re.findall(r"(?:^\|.*\|\n)+", prose(PAGES[name]), re.M)
    widths = [{line.count("|") for line in table.splitlines()} for table in tables]
    assert [found for found in widths if len(found) != 1] == []


@each_page
def test_a_link_leads_to_a_page_and_a_heading(name: str) -> None:
    """Each relative link names a file beside the page, and after `#` one of its headings."""
    for link in links(PAGES[name]):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / name).parent / path if path else ROOT / name
        assert target.is_file(), link
        assert not anchor or anchor in anchors(target.read_text()), link


def test_every_page_is_reached() -> None:
    """The index lists every page, and README links to every page but the index."""
    names = {path.name for path in FOLDER.glob("*.md")} - {"index.md"}
    assert set(links(page("index"))) == names
    from_readme = {Path(link).name for link in links(PAGES["README.md"])}
    assert names <= from_readme


# Commands
OF_SUBCOMMANDS = {
    option
    for command in (*COMMANDS.values(), *SUBCOMMANDS.values())
    for parameter in command.params
    for option in parameter.opts
}


@each_page
def test_every_make_command_exists(name: str) -> None:
    """What a page tells to type after `make` is a target of the Makefile."""
    typed = {word for line in code(PAGES[name]) for word in re.findall(r"^make ([a-z-]+)", line)}
    assert typed <= TARGETS


@each_page
def test_every_rq_broker_command_parses(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a page tells to type after `rq-broker` is a command that takes those arguments."""
    monkeypatch.delenv("RQ_BROKER_REDIS", raising=False)
    for line in code(PAGES[name]):
        match = re.fullmatch(r"rq-broker ([a-z-]+)([^#]*)(#.*)?", line)
        if match:
            first, *words = [match[1], *shlex.split(match[2])]
            command = COMMANDS[first]
            if isinstance(command, click.Group):
                command = command.commands[words.pop(0)] if words else click.Command("none")
            command.make_context(first, words)


@each_page
def test_every_option_exists(name: str) -> None:
    """Each `--option` and each RQ_BROKER_ variable of a page belongs to a command or a script."""
    text = "\n".join(code(PAGES[name]))
    for line in text.splitlines():
        if line.startswith(OTHER_PROGRAMS):
            continue
        script = re.search(r"(scripts/\w+\.py) ", line)
        source = (ROOT / script[1]).read_text() if script else ""
        known = (
            set(re.findall(r'"(--[a-z-]+)"', source))
            if script
            else {*OPTIONS, *OF_SUBCOMMANDS, "--callback-", "--help"}
        )
        assert set(re.findall(r"(?<!\w)--[a-z][a-z-]+", line)) <= known, line
    variables = {parameter.envvar for command in COMMANDS.values() for parameter in command.params}
    of_run = variables_of(Grant("vm", "r", "o", 1, ["h"], {}, 600.0, 0.0))
    assert set(re.findall(r"RQ_BROKER_[A-Z_]+", text)) <= variables | of_run.keys()


def test_the_table_of_options_is_whole() -> None:
    """The page on operating lists each option with the commands that take it and its default."""
    listed = {
        spans(option)[0]: (set(commands.split(", ")), default.strip("`"))
        for option, commands, default, _ in rows(page("operating"), "option")
    }
    taken = {
        option: {
            name
            for name, command in COMMANDS.items()
            if parameter.name in _names(command) and name not in SPEAK_HTTP
        }
        for option, parameter in OPTIONS.items()
    }
    assert {option: commands for option, (commands, _) in listed.items()} == taken
    defaults = {option: getattr(Settings(), each.name or "") for option, each in OPTIONS.items()}
    assert {option: default for option, (_, default) in listed.items()} == {
        option: _shown(default, "" if "rate-limit" in option else " s")
        for option, default in defaults.items()
    }


def _shown(default: object, unit: str) -> str:
    """Write a default as the table does; a number that may be broken has the unit."""
    if default is False:
        return "no"
    if isinstance(default, tuple):
        return ",".join(default) or "none"
    return f"{default:g}{unit}" if isinstance(default, float) else str(default or "none")


def _names(command: click.Command) -> set[str | None]:
    return {parameter.name for parameter in command.params}


def test_the_tables_of_commands_are_whole() -> None:
    """The pages list every command of rq-broker, of make, and every script, each once."""
    for name, commands in (
        ("operating", COMMANDS.keys() - SPEAK_HTTP),
        ("command-line", SPEAK_HTTP),
    ):
        listed = [spans(row[0])[0].split()[:2] for row in rows(page(name), "command")]
        assert sorted(listed) == sorted(["rq-broker", command] for command in commands)
    made = [spans(row[0])[0] for row in rows(page("development"), "command")]
    assert sorted(made) == sorted(f"make {name}" for name in TARGETS - {"help"})
    scripts = [spans(row[0])[0] for row in rows(page("development"), "script")]
    present = [f"scripts/{path.name}" for path in (ROOT / "scripts").glob("*.py")]
    assert sorted(scripts) == sorted(present)


def test_the_table_of_extras_is_whole() -> None:
    """The page on operating says of each extra of the package what it is needed for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = [spans(row[0])[0] for row in rows(page("operating"), "extra")]
    assert sorted(listed) == sorted(project["optional-dependencies"])


# Code


@each_page
def test_nothing_is_installed_by_its_name_alone(name: str) -> None:
    """No index has a release: a page installs from a checkout, or from a wheel's file."""
    named = re.findall(r"(?:pip|pipx|uv|uvx) [a-z -]*'?(rq[-_]broker[^\s`]*)", PAGES[name])
    assert [what for what in named if ".whl" not in what] == []


@pytest.mark.parametrize(
    "code", [code for text in PAGES.values() for code in blocks(text, "python")]
)
def test_python_compiles_and_its_imports_resolve(code: str) -> None:
    """Each Python block is whole, and every name that it imports is there."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                import_module(alias.name)
        elif isinstance(node, ast.ImportFrom):
            module = import_module(node.module or "")
            assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


@pytest.mark.parametrize("code", [code for text in PAGES.values() for code in blocks(text, "json")])
def test_json_parses(code: str) -> None:
    """Each JSON block is JSON."""
    orjson.loads(code)


@pytest.mark.parametrize("code", [code for text in PAGES.values() for code in blocks(text, "toml")])
def test_a_table_of_sources_can_be_read(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each TOML block with a source opens it, given the cloud, cluster and class that it names."""
    table = tomllib.loads(code)
    if "source" not in table:
        # What the file source reads, and the configuration of the command line.
        assert table.keys() in ({"hosts"}, {"profile", "profiles"})
        return
    login = {"auth_type": "admin_token", "auth": {"endpoint": "http://127.0.0.1:1", "token": "x"}}
    (tmp_path / "clouds.yaml").write_bytes(orjson.dumps({"clouds": {"lab": login}}))
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    cluster = {"name": "lab", "cluster": {"server": "http://127.0.0.1:1"}}
    context = {"name": "lab", "context": {"cluster": "lab", "user": "lab"}}
    config = {"clusters": [cluster], "contexts": [context], "current-context": "lab"}
    config["users"] = [{"name": "lab", "user": {}}]
    (tmp_path / "kubeconfig.yaml").write_bytes(orjson.dumps(config))
    (tmp_path / "lab_benches.py").write_text(block("sources", "class Benches"))
    (tmp_path / "sources.toml").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    (feed,) = read_feeds("sources.toml")
    assert feed.type == table["source"][0]["type"]


# Facts


def test_the_table_of_errors_is_whole() -> None:
    """The page on HTTP lists every code that an answer may carry, with its status."""
    listed = {spans(name)[0]: int(status) for status, name, *_ in rows(page("http"), "status")}
    assert listed == {error.code: error.status for error in errors.by_status()}
    written = generate.ERRORS_PAGE.read_text()
    assert written == generate.errors_page(written), "run make generate"


def test_the_table_of_reasons_is_whole() -> None:
    """The page on admission lists every reason with its values, as the table in the domain has."""
    written = generate.REASONS_PAGE.read_text()
    assert written == generate.reasons_page(written), "run make generate"
    assert all(f"| `{name}` |" in written for name in ENDINGS)


def test_the_table_of_keys_is_whole() -> None:
    """The page on the Redis contract lists the keys that store/keys.py does."""
    text = keys.__doc__ or ""
    contract = {name for row in rows(text, "key") for name in spans(row[0])} - {"rqb:{<type>}"}
    listed = {name for row in rows(page("redis-contract"), "key") for name in spans(row[0])}
    assert listed - {"…"} == contract


def test_the_example_of_digests_is_right() -> None:
    """The page on the Redis contract shows what the broker passes to the script for that submit."""
    (body,) = blocks(page("redis-contract"), "json")
    job = submission(orjson.loads(body))
    demand = job.shape.canonical()
    shown = {
        spans(row[0])[0]: spans(row[1])[0]
        for row in rows(page("redis-contract"), "argument of `submit`")
    }
    assert shown == {
        "callback": keys.digest(job.callback),
        "demand": demand,
        "shape": keys.digest(demand),
    }


def test_the_methods_of_the_client_are_listed() -> None:
    """The page on Python names every method of the client, and no other."""
    listed = re.findall(r"They are named as the broker's verbs: (.*?)\.\n\n", page("python"), re.S)
    for client, closing in ((Client, "close"), (AsyncClient, "aclose")):
        methods = {name for name in vars(client) if not name.startswith("_")}
        assert set(spans(listed[0])) == methods - {closing}


def test_the_table_of_types_is_whole() -> None:
    """The page on the Redis contract lists the types of arguments as store/contracts does."""
    assert rows(page("redis-contract"), "type") == rows(contracts.__doc__ or "", "type")
