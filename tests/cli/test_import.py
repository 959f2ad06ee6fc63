"""`rq-broker import`: the waiting jobs of the original service's database, in their order."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from rq_broker.cli import importing
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from rq_broker.store.connection import connect
from rq_broker.store.embedded import Server
from rq_broker.store.keys import Keys
from tests.cli.running import invoke
from tests.processes import children

TABLE = """CREATE TABLE "jobs" ("id" integer primary key autoincrement,"created_at" datetime,
"updated_at" datetime,"deleted_at" datetime,"request_id" varchar(255),"type" varchar(255),
"owner_id" varchar(255),"data" varchar(255),"callback" varchar(255),"priority" bigint,
"status" varchar(255))"""
INSERT = """INSERT INTO jobs (created_at, updated_at, deleted_at, request_id, type, owner_id, data,
callback, priority, status) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
MADE = "2018-08-27 11:27:08.564319181+08:00"
DATA = '{"host_aggregate":"host1","instances":[{"Disk":1,"Memory":1,"VCPU":1}],"project":"p"}'
FIRST = 2756167942488154
"""A priority of the original's README."""


def row(name: Any, priority: Any = FIRST, **changes: Any) -> tuple[Any, ...]:
    """Return a row as gorm writes it."""
    fields = {"deleted_at": None, "type": "vm", "owner_id": "y", "data": DATA, "status": "queued"}
    fields |= {"callback": f"http://x/{name}", **changes}
    return (
        MADE,
        MADE,
        fields["deleted_at"],
        name,
        fields["type"],
        fields["owner_id"],
        fields["data"],
        fields["callback"],
        priority,
        fields["status"],
    )


def database(path: Path, *rows: tuple[Any, ...]) -> str:
    """Make a database, or add rows to it."""
    is_new = not path.exists()
    with closing(sqlite3.connect(path)) as connection, connection:
        if is_new:
            connection.execute(TABLE)
        connection.executemany(INSERT, rows)
    return str(path)


@pytest.fixture
def client(redis_server: Server) -> Iterator[Redis]:
    with Redis.from_url(redis_server.url, decode_responses=True) as client:
        client.flushall()
        yield client


def line(client: Redis, type_: str = "vm") -> list[str]:
    """Return the request_ids that wait, in their order."""
    members = client.zrange(Keys(type_).of("status", "queued"), 0, -1)
    return [str(member).partition(":")[2] for member in members]


def run(server: Server, *args: str) -> tuple[int, str]:
    """Import, and return the exit code and the output."""
    result = invoke("import", *args, "--redis", server.url)
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(
        result.exception
    )
    return result.exit_code, result.output


def with_broker(server: Server, work: Callable[[Broker], Awaitable[Any]]) -> Any:
    """Return what a coroutine function that takes a broker returns."""

    async def main() -> Any:
        async with connect(server.url) as client:
            return await work(Broker(client))

    return asyncio.run(main())


def findings(server: Server, type_: str = "vm") -> Any:
    """Audit a type."""
    return with_broker(server, lambda broker: audit(broker.runner.client, type_))


def test_order_and_priorities_stay(tmp_path: Path, redis_server: Server, client: Redis) -> None:
    """Jobs wait in the old order, also where ns become one µs; deleted and ended rows stay out."""
    file = database(
        tmp_path / "old.db",
        row("late", FIRST + 5_000_000),
        row("tie", 83_335),
        row("first", 83_334),
        row("same", 83_335),
        row("negative", -1),
        row("kube", 7, type="kube", status="queue"),
        row("gone", 1, deleted_at=MADE),
        row("gone too", 1, deleted_at=MADE, status="running"),
        *(row(status, 1, status=status) for status in ("granted", "running", "done", "error")),
    )
    assert run(redis_server, file, "--dry-run") == (
        0,
        "6 would be imported, 0 already there, 0 duplicates, 0 bad rows\n"
        "left out: 2 deleted, 1 done, 1 error, 1 granted, 1 running\n",
    )
    assert client.keys("*") == []
    code, output = run(redis_server, file)
    assert (code, output.splitlines()[0]) == (
        0,
        "6 imported, 0 already there, 0 duplicates, 0 bad rows",
    )
    assert line(client) == ["negative", "first", "tie", "same", "late"]
    assert line(client, "kube") == ["kube"]
    priorities = client.zrange(Keys("vm").of("status", "queued"), 0, -1, withscores=True)
    assert [entry[1] for entry in priorities] == [-1, 83, 83, 83, FIRST // 1000 + 5000]
    job = with_broker(redis_server, lambda broker: broker.read("vm", "first"))
    assert (job.owner_id, job.data, job.callback) == ("y", DATA, "http://x/first")
    assert findings(redis_server) == findings(redis_server, "kube") == []


def test_what_cannot_be_imported_is_told(
    tmp_path: Path, redis_server: Server, client: Redis
) -> None:
    """Duplicates and bad rows are told by their ID and field, and all others are imported."""
    file = database(
        tmp_path / "old.db",
        row("a"),
        row("a", FIRST + 1),
        row("b", FIRST + 2, callback="http://x/a"),
        row("c", FIRST + 3, data="{"),
        row("d", FIRST + 4, data='{"instances": [{"VCPU": -1}]}'),
        row(None, FIRST + 5),
        row("f", "high"),
        row("g", FIRST + 6, status="waiting"),
        row("h", FIRST + 7, callback="relative"),
        row("i", FIRST + 8, owner_id=b"\xff"),
        row("j", FIRST + 9, type=None),
        row("k", 2**63 - 1),
        row("l", FIRST + 10, owner_id=""),
        row("m", FIRST + 11),
    )
    code, output = run(redis_server, file)
    *told, summary = output.splitlines()
    assert (code, summary) == (1, "2 imported, 0 already there, 2 duplicates, 10 bad rows")
    assert line(client) == ["a", "m"]
    sentences = dict(sentence.split(": ", 1) for sentence in told)
    expected = {
        2: "vm/a: row 1 has this request_id",
        3: "callback is taken",
        4: "data",
        5: "data.instances[0].VCPU",
        6: "request_id is required",
        7: "priority must be a whole number, not 'high'",
        8: "status 'waiting' is not known",
        9: "callback must be an absolute",
        10: "owner_id",
        11: "type must be a text",
        12: "priority",
        13: "owner_id must not be empty",
    }
    assert sentences.keys() == {f"row {id_}" for id_ in expected}
    for id_, part in expected.items():
        assert part in sentences[f"row {id_}"]
    code, output = run(redis_server, file)
    assert (code, "; 9 not imported by earlier runs: --again looks at them" in output) == (1, True)
    code, output = run(redis_server, file, "--again", "--callback-base", "http://base/")
    assert output.splitlines()[-1] == "1 imported, 2 already there, 2 duplicates, 9 bad rows"


def test_bytes_that_are_no_text(tmp_path: Path, redis_server: Server, client: Redis) -> None:
    """A type or a name that is not UTF-8 is a bad row, and so is what moves a cursor."""
    file = database(tmp_path / "old.db", row("a"), row("b", type="e\x1b[2J"))
    with closing(sqlite3.connect(file)) as connection, connection:
        for column in ("type", "request_id"):
            connection.execute(INSERT, row(column, FIRST + 1))
            change = f"UPDATE jobs SET {column} = CAST(x'ff41' AS TEXT) WHERE request_id = ?"
            connection.execute(change, (column,))
    code, output = run(redis_server, file)
    assert (code, line(client)) == (1, ["a"])
    assert "row 3: type '\\udcffA' is no text in UTF-8" in output
    assert "row 4: vm/\\udcffA: request_id is no text in UTF-8" in output
    assert "row 2: e\\x1b[2J/b: type must not contain control characters" in output


def test_ids_that_are_no_numbers(tmp_path: Path, redis_server: Server, client: Redis) -> None:
    """A row without an ID is a bad row: nothing could tell whether it was imported."""
    path = tmp_path / "old.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(TABLE.replace("integer primary key autoincrement", "text"))
        connection.execute("INSERT INTO jobs (id, created_at) VALUES ('z', 'now')")
        connection.execute(INSERT, row("a"))
    code, output = run(redis_server, str(path))
    assert (code, line(client)) == (1, [])
    assert "row None: id must be a whole number" in output


def test_a_run_takes_what_came_since(tmp_path: Path, redis_server: Server, client: Redis) -> None:
    """A second run looks at new rows only: a job that was withdrawn does not come back."""
    file = database(tmp_path / "old.db", row("a"), row("b", FIRST + 1))
    assert run(redis_server, file)[0] == 0
    assert invoke("import", file, "--redis", redis_server.url).output.startswith("0 imported")
    with_broker(redis_server, lambda broker: broker.withdraw("vm", "a"))
    database(tmp_path / "old.db", row("c", FIRST - 1_000_000))
    moved = (tmp_path / "old.db").rename(tmp_path / "moved.db")
    assert run(redis_server, str(moved))[1].startswith("1 imported, 0 already there")
    assert line(client) == ["c", "b"]


def test_files_that_begin_alike_are_two(
    tmp_path: Path, redis_server: Server, client: Redis
) -> None:
    """The first rows were made at the same moment, of the same type, and are of two services."""
    one = database(tmp_path / "one.db", row("a"), row("b", FIRST + 1))
    other = database(tmp_path / "other.db", row("c", FIRST + 2), row("d", FIRST + 3))
    assert [run(redis_server, file)[1][:10] for file in (one, other)] == ["2 imported"] * 2
    assert line(client) == ["a", "b", "c", "d"]


def test_a_killed_run_goes_on(tmp_path: Path, redis_server: Server, client: Redis) -> None:
    """Killed half-way and started again, every row is there once, in the old order."""
    count = 5000
    names = [f"j{number:05}" for number in range(count)]
    file = database(
        tmp_path / "old.db",
        *(row(name, FIRST + 10_000 * (number * 7919 % count)) for number, name in enumerate(names)),
    )
    queue = Keys("vm").of("status", "queued")
    with children(tmp_path) as processes:
        child = processes.start("import", file, "--redis", redis_server.url)
        deadline = time.monotonic() + 60
        while client.zcard(queue) < 700 and time.monotonic() < deadline:
            time.sleep(0.002)
        child.kill()
    stored = client.zcard(queue)
    assert 700 <= stored < count
    code, output = run(redis_server, file)
    assert code == 0
    imported, there = (int(part.split()[0].replace(",", "")) for part in output.split(", ")[:2])
    assert there < stored
    assert imported + stored == count
    assert line(client) == sorted(names, key=lambda name: int(name[1:]) * 7919 % count)
    assert findings(redis_server) == []


def test_refusals_of_the_moment_end_the_run(
    tmp_path: Path, redis_server: Server, client: Redis
) -> None:
    """With a full queue, or without Redis, nothing is passed over: the next run has the rest."""
    file = database(tmp_path / "old.db", *(row(f"j{number}", number * 1000) for number in range(9)))
    full = {"queue_limits": {"y": {"jobs": 4}}}
    with_broker(redis_server, lambda broker: broker.set_policy("vm", full))
    code, output = run(redis_server, file)
    assert code == 1
    assert "Error: " in output
    assert "queue_limits" in output
    with_broker(redis_server, lambda broker: broker.set_policy("vm", {"queue_limits": {}}))
    code, output = run(redis_server, file)
    assert (code, output) == (0, "5 imported, 4 already there, 0 duplicates, 0 bad rows\n")
    assert line(client) == [f"j{number}" for number in range(9)]
    assert invoke("import", file, "--redis", "redis://127.0.0.1:1").exit_code == 3


@pytest.mark.parametrize("content", [b"no database", None])
def test_a_file_that_is_no_such_database(
    tmp_path: Path, redis_server: Server, content: bytes | None
) -> None:
    """The refusal says what is missing, and makes no file."""
    path = tmp_path / "x.db"
    if content:
        path.write_bytes(content)
    else:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE other (id integer)")
    code, output = run(redis_server, str(path))
    assert code == 1
    assert "is not read as an SQLite database" in output or "has no table jobs" in output
    assert "unable to open" in invoke("import", str(tmp_path / "none.db")).output
    assert not (tmp_path / "none.db").exists()


@pytest.mark.usefixtures("client")
def test_a_bar_on_a_terminal(
    tmp_path: Path, redis_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal the rows that are done are shown as a bar, elsewhere nothing but the result."""
    shown = []

    class Bar:
        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *_: object) -> None:
            return None

        def update(self, count: int) -> None:
            shown.append(count)

    monkeypatch.setattr("click.progressbar", lambda **_: Bar())
    monkeypatch.setattr(importing, "is_terminal", lambda: True)
    file = database(tmp_path / "old.db", row("a"), row("b"))
    run(redis_server, file, "--dry-run")
    assert shown == [2]
