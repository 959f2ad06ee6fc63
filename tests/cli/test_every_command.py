"""The table of every command: on a terminal, in a pipe, with `--json`, and where it fails."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import click
import pytest
import redis
import uvicorn
from click.testing import CliRunner, Result

from rq_broker import cli
from rq_broker.cli import dev as dev_module, notifier as notifier_module
from rq_broker.cli.commands import ENTRIES
from rq_broker.cli.run import session
from rq_broker.client import repeating
from rq_broker.delivery.signing import generate
from rq_broker.domain.jobs import Status
from rq_broker.store.embedded import Server, free_port
from tests import making
from tests.cli.served import Served, served
from tests.cli.terminal import on_terminal
from tests.cli.test_import import database, row as old_row


class Row(NamedTuple):
    """How a command is tried. In all words TYPE, REDIS and FOLDER stand for those of the cell."""

    words: str
    """The arguments behind the command."""
    shows: str
    """What it prints on a terminal and in a pipe; "" for nothing."""
    objects: Mapping[str, Any] | None
    """What the first object has with `--json`; None for a command without the option."""
    bad: str
    """Arguments with which it fails."""
    code: int
    says: str
    """The exit code then, and a part of the sentence on stderr."""
    asks: bool = False
    """Whether it asks on a terminal before it does anything."""
    keys: str = ""
    """What is typed on a terminal, once `shows` is there."""


UNREACHABLE = "--server http://127.0.0.1:NOWHERE"
JOB = (4, "(job_not_found)")
HOST = (4, "(host_not_found)")

ROWS: dict[str, Row] = {
    "run": Row("TYPE -- true", "", None, "TYPE --need VCPU -- true", 2, "'VCPU'"),
    "submit": Row("TYPE --need VCPU=4,Memory=2048 --id new --owner o --callback http://10.0.0.9/n",
                  "new\n", {"RequestID": "new", "Status": "queued"},
                  "TYPE --id waits1 --callback http://10.0.0.9/m --owner o",
                  6, "(duplicate_request_id)"),
    "list": Row("TYPE", "needs VCPU 1", {"RequestID": "runs", "Status": "running"},
                "TYPE --status odd", 2, "'odd'"),
    "show": Row("TYPE runs", "Hosts", {"RequestID": "runs"}, "TYPE nope", *JOB),
    "why": Row("TYPE waits1", "1 in line", {"position": 1}, "TYPE nope", *JOB),
    "watch": Row("TYPE over", "done", {"RequestID": "over"}, "TYPE nope", *JOB),
    "events": Row("TYPE runs --after 0-1 --limit 3", "job.granted", {"request_id": "runs"},
                  "TYPE nope", *JOB),
    "move": Row("TYPE waits2 --front", "", {"RequestID": "waits2", "Position": 1},
                "TYPE runs --front", 6, "(not_waiting)"),
    "take": Row("TYPE offered", "h1", {"request_id": "offered", "hosts": ["h1"]},
                "TYPE waits1", 6, "(conflict)"),
    "done": Row("TYPE runs", "", {"request_id": "runs", "status": "done"}, "TYPE nope", *JOB),
    "withdraw": Row("TYPE waits1", "", {"request_id": "waits1", "withdrawn": True},
                    "TYPE nope --yes", *JOB, asks=True),
    "top": Row("TYPE", "waits1", {"type": "TYPE"}, UNREACHABLE, 3, "(unreachable)", keys="q"),
    "types": Row("", "TYPE", {"type": "TYPE"}, UNREACHABLE, 3, "(unreachable)"),
    "report": Row("TYPE", "GRANTED", {"type": "TYPE", "by": "size"}, "TYPE --by host", 2, "'host'"),
    "type show": Row("TYPE", "queued", {"name": "TYPE"}, UNREACHABLE + " TYPE", 3,
                     "(unreachable)"),
    "type delete": Row("empty-TYPE", "", {"type": "empty-TYPE", "deleted": True},
                       "TYPE --yes", 6, "(type_in_use)", asks=True),
    "policy": Row("TYPE patience=60", "patience", {"patience": 60.0},
                  "TYPE patiense=60", 2, "patiense"),
    "pause": Row("TYPE", "", {"paused": True}, UNREACHABLE + " TYPE", 3, "(unreachable)"),
    "resume": Row("TYPE", "", {"paused": False}, UNREACHABLE + " TYPE", 3, "(unreachable)"),
    "hosts": Row("TYPE", "VCPU 0", {"name": "h1"}, UNREACHABLE + " TYPE", 3, "(unreachable)"),
    "host show": Row("TYPE h1", "capacity", {"name": "h1"}, "TYPE nope", *HOST),
    "host set": Row("TYPE h3 VCPU=4", "h3", {"name": "h3"}, "TYPE h3 VCPU", 2, "'VCPU'"),
    "host drain": Row("TYPE spare", "", {"host": "spare", "drained": True},
                      "TYPE nope --yes", *HOST, asks=True),
    "host delete": Row("TYPE spare", "", {"host": "spare", "deleted": True},
                       "TYPE nope --yes", *HOST, asks=True),
    "attempts": Row("TYPE runs", "OUTCOME", {}, "TYPE nope", *JOB),
    "destinations": Row("TYPE", "http://x:80", {"destination": "http://x:80"},
                        "TYPE --reset http://nope:1", 4, "(destination_not_found)"),
    "keys": Row("TYPE --owner o --remove", "OWNER", {"owner": "*"}, "TYPE --remove", 2, "--owner",
                asks=True),
    "completion": Row("bash", "_RQ_BROKER_COMPLETE", None, "tcsh", 2, "'tcsh'"),
    "dev": Row("", "", None, "--host 10.0.0.1", 1, "not loopback"),
    "api": Row("--redis REDIS", "", None, "--host 10.0.0.1", 1, "not loopback"),
    "notifier": Row("--redis REDIS", "", None, "--callback-ports x", 1, "--callback-ports"),
    "audit": Row("--redis REDIS", "clean", None, "--redis redis://127.0.0.1:NOWHERE", 3,
                 "Redis"),
    "log": Row("--redis REDIS", "create_token", {"subject": "kept"},
               "--redis redis://127.0.0.1:NOWHERE", 1, "Redis"),
    "token create": Row("--redis REDIS --role viewer", "rqb", None, "--role king", 2, "'king'"),
    "token list": Row("--redis REDIS", "NAME", None, "--redis redis://127.0.0.1:NOWHERE", 1,
                      "Redis"),
    "token rotate": Row("--redis REDIS kept", "rqb", None, "--redis REDIS nobody", 1, "no token"),
    "token revoke": Row("--redis REDIS kept", "", None, "--redis REDIS nobody", 1, "no token"),
    "grafana": Row("", '"title"', None, "--nope", 2, "--nope"),
    "alerts": Row("", "groups:", None, "--nope", 2, "--nope"),
    "deploy systemd": Row("", "[Unit]", None, "--output FOLDER/key", 2, "is a file"),
    "deploy compose": Row("", "services:", None, "--output FOLDER/key", 2, "is a file"),
    "deploy helm": Row("", "apiVersion:", None, "--output FOLDER/key", 2, "is a file"),
    "import": Row("FOLDER/old.db --redis REDIS", "1 imported", None, "nowhere.db", 1, "nowhere.db"),
    "check-source": Row("FOLDER/sources.toml", "hosts: 1: h9", None, "nowhere.toml", 2,
                        "nowhere.toml"),
    "encrypt-keys": Row("--redis REDIS --secret-key-file FOLDER/key", "encrypted", None,
                        "--redis REDIS --secret-key-file nowhere", 1, "nowhere"),
    "acl": Row("--role api", "ACL SETUSER", None, "--role king", 2, "'king'"),
    "scripts": Row("", "submit ", None, "nope", 2, "'nope'"),
}  # fmt: skip

VARIANTS: dict[str, Row] = {
    "submit (an array)": Row("TYPE --array 3 --at-once 2 --id sweep --owner o", "sweep[*]",
                             {"RequestID": "sweep[*]"}, "TYPE --at-once 2 --owner o", 2,
                             "--at-once"),
    "list (fast, of an owner)": Row("TYPE --fast --owner o", "waits1", {"RequestID": "waits1"},
                                    "TYPE --limit 0", 2, "'--limit'"),
    "why (of a running job)": Row("TYPE runs", "running", {"status": "running"}, "TYPE nope", *JOB),
    "move (dry run)": Row("TYPE waits2 --front --dry-run", "waits2", {"position": 1},
                          "TYPE runs --front --dry-run", 6, "(not_waiting)"),
    "move (to a place)": Row("TYPE waits2 --to 1", "", {"RequestID": "waits2", "Position": 1},
                             "TYPE waits2 --to 0", 2, "'--to'"),
    "move (several)": Row("TYPE waits2 waits1 --back", "", {"RequestID": "waits1", "Position": 2},
                          "TYPE waits2 waits1 --to 1", 2, "--front or --back"),
    "done (in error)": Row("TYPE runs --error broken", "", {"request_id": "runs"},
                           "TYPE nope --error broken", *JOB),
    "report (by owner and day)": Row("TYPE --by owner --step day", "GRANTED", {"by": "owner"},
                                     "TYPE --step week", 2, "'week'"),
}  # fmt: skip
"""What options make another command of; the name before the parenthesis is the command's."""
TABLE = {**ROWS, **VARIANTS}


def leaves() -> Iterator[tuple[str, click.Command]]:
    """Yield every command with its name, such as `host show`."""
    context = click.Context(cli.main)
    for name in ENTRIES:
        command = cli.main.get_command(context, name)
        assert command
        if isinstance(command, click.Group):
            yield from ((f"{name} {sub}", leaf) for sub, leaf in command.commands.items())
        else:
            yield name, command


LEAVES = dict(leaves())
HTTP = [name for name, leaf in LEAVES.items() if any(p.name == "server" for p in leaf.params)]
_numbers = count()


@pytest.fixture(scope="module")
def api(redis_server: Server) -> Iterator[Served]:
    with served(redis_server.url) as running:
        yield running


async def prepared(running: Served, type_: str) -> None:
    """Make a type with a full host, an idle one, and a job of each kind."""
    broker = running.broker
    await making.publish(broker, "h1", type_, VCPU=2)
    await making.publish(broker, "spare", type_, Other=1)
    job = await making.submit(broker, "over", type_)
    assert await making.grant(broker, job) is not None
    await broker.transition(type_, "over", Status.DONE)
    job = await making.submit(broker, "runs", type_)
    assert await making.grant(broker, job) is not None
    await broker.transition(type_, "runs", Status.RUNNING)
    job = await making.submit(broker, "offered", type_, callback="")
    assert await making.grant(broker, job) is not None
    for name in ("waits1", "waits2"):
        await making.submit(broker, name, type_)
    await broker.set_keys(type_, "*", [str(generate())])


@dataclass(frozen=True)
class Cell:
    """What the words of a row stand for."""

    type: str
    redis: str
    """Another database than that of the API."""
    folder: Path

    def text(self, text: str) -> str:
        """Return a text of a row with its capital words replaced."""
        stands_for = {
            "TYPE": self.type,
            "REDIS": self.redis,
            "FOLDER": str(self.folder),
            "NOWHERE": str(free_port()),
        }
        for word, value in stands_for.items():
            text = text.replace(word, value)
        return text

    def words(self, command: str, arguments: str) -> list[str]:
        """Return the words of a command; what it finds in Redis is there then."""
        if "REDIS" in arguments:
            with redis.Redis.from_url(self.redis) as client:
                client.flushdb()
            create = "token create --role viewer --name kept --redis"
            assert in_pipe([*create.split(), self.redis]).exit_code == 0
        return [*_command(command).split(), *self.text(arguments).split()]


@pytest.fixture
def cell(
    api: Served, redis_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Cell:
    """Prepare a type of its own, files, and servers that are not started."""
    type_ = f"t{next(_numbers)}"
    api.run(prepared(api, type_))
    monkeypatch.setenv("RQ_BROKER_SERVER", api.url)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr(repeating, "FIRST_PAUSE", 0.0)
    monkeypatch.setattr(uvicorn, "run", lambda *_, **__: None)
    for module, name in (
        (session, "run_job"),
        (dev_module, "run_loop"),
        (dev_module, "_serve"),
        (dev_module, "_start_store"),
        (notifier_module, "run_loop"),
        (notifier_module, "until_signal"),
        (notifier_module, "_run"),
    ):
        monkeypatch.setattr(module, name, lambda *_, **__: None)
    database(tmp_path / "old.db", old_row("waits"))
    (tmp_path / "key").write_text(base64.b64encode(bytes(32)).decode())
    source = f'[[source]]\nkind = "file"\ntype = "vm"\npath = "{tmp_path}/hosts.toml"\n'
    (tmp_path / "sources.toml").write_text(source)
    (tmp_path / "hosts.toml").write_text("[hosts.h9]\ncapacity = {VCPU = 4}\n")
    return Cell(type_, redis_server.url.removesuffix("/0") + "/1", tmp_path)


def _command(name: str) -> str:
    """Return the command of a row: the name of a variant says more, in parentheses."""
    return name.partition(" (")[0]


def in_pipe(words: list[str]) -> Result:
    return CliRunner().invoke(cli.main, words, prog_name="rq-broker")


def test_the_table_is_complete() -> None:
    """Every command has a row, also those of groups; no row is of a command that is gone."""
    assert ROWS.keys() == LEAVES.keys()
    assert {_command(name) for name in VARIANTS} <= LEAVES.keys()


@pytest.mark.parametrize("name", TABLE)
def test_in_a_pipe(cell: Cell, name: str) -> None:
    """A command prints whole lines, without colours, and asks nothing."""
    row = TABLE[name]
    result = in_pipe(cell.words(name, row.words))
    assert result.exit_code == 0, result.output
    assert bool(result.stdout) == bool(row.shows)
    assert cell.text(row.shows) in result.stdout
    assert "\x1b" not in result.stdout
    assert _command(name) not in HTTP or "…" not in result.stdout


@pytest.mark.parametrize("name", TABLE)
def test_on_a_terminal(cell: Cell, name: str) -> None:
    """A command shows the same on a terminal, and some ask once before they change anything."""
    row = TABLE[name]
    words, shown = cell.words(name, row.words), cell.text(row.shows).rstrip()
    keys, after = ("y\n", "[y/N]") if row.asks else (row.keys, shown)
    result = on_terminal(*words, keys=keys, after=after, columns=200)
    assert result.exit_code == 0, result.screen
    assert result.screen.count("[y/N]") == int(row.asks)
    assert shown in result.screen


@pytest.mark.parametrize("name", [name for name, row in TABLE.items() if row.asks])
def test_a_no_changes_nothing(cell: Cell, name: str) -> None:
    """Whoever answers the question with no gets exit code 1; the command can be given again."""
    words = cell.words(name, TABLE[name].words)
    refused = on_terminal(*words, keys="n\n", after="[y/N]")
    assert refused.exit_code == 1
    assert "Aborted!" in refused.screen
    assert in_pipe([*words, "--yes"]).exit_code == 0


@pytest.mark.parametrize("name", TABLE)
def test_json(cell: Cell, name: str) -> None:
    """With --json a command prints one object a line; only those of files and servers lack it."""
    row = TABLE[name]
    has_json = any(parameter.name == "as_json" for parameter in LEAVES[_command(name)].params)
    assert has_json == (row.objects is not None)
    assert has_json or _command(name) not in {*HTTP} - {"run"}  # what that prints is its command's
    if row.objects is None:
        return
    result = in_pipe([*cell.words(name, row.words), "--json"])
    assert result.exit_code == 0, result.output
    objects = [json.loads(line) for line in result.stdout.splitlines()]
    assert all(isinstance(each, dict) for each in objects)
    wanted = json.loads(cell.text(json.dumps(row.objects)))
    assert not wanted or any(wanted.items() <= each.items() for each in objects), objects


@pytest.mark.parametrize("name", TABLE)
def test_failing(cell: Cell, name: str) -> None:
    """What goes wrong is one sentence on stderr and a code; nothing is on the standard output."""
    row = TABLE[name]
    result = in_pipe(cell.words(name, row.bad))
    assert result.exit_code == row.code, result.output
    assert result.stdout == ""
    assert row.says in result.stderr
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    assert isinstance(result.exception, SystemExit)
