"""Import a database of the original service, killed half-way and resumed: `import_old.py [ROWS]`.

Makes the database, 100,000 rows by default, a private Redis, and the command as a process; compares
the order of the queue with that of the rows, and audits.
"""

from __future__ import annotations

import argparse
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from benches import kit

from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from rq_broker.store.keys import Keys

_TABLE = """CREATE TABLE jobs (id integer primary key autoincrement, created_at datetime,
updated_at datetime, deleted_at datetime, request_id varchar(255), type varchar(255),
owner_id varchar(255), data varchar(255), callback varchar(255), priority bigint,
status varchar(255))"""
_INSERT = "INSERT INTO jobs VALUES (NULL, ?, ?, NULL, ?, 'vm', ?, ?, ?, ?, 'queued')"
_DATA = '{"host_aggregate":"host1","instances":[{"Disk":1,"Memory":1,"VCPU":1}],"project":"p"}'
_MADE = "2018-08-27 11:27:08.564319181+08:00"
_QUEUE = Keys(kit.TYPE).of("status", "queued")
_OWNERS = 10
"""Owners of the rows: a queue takes 100,000 waiting jobs of each by default."""


def make(path: Path, count: int) -> list[str]:
    """Make the database; returns the request_ids in the order of its queue."""
    priorities = [2756167942488154 + random.randrange(count * 1000) for _ in range(count)]
    rows = [
        (_MADE, _MADE, f"r{n}", f"o{n % _OWNERS}", _DATA, f"http://127.0.0.1:9/{n}", priority)
        for n, priority in enumerate(priorities)
    ]
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(_TABLE)
        connection.executemany(_INSERT, rows)
    return [f"r{n}" for n in sorted(range(count), key=lambda n: (priorities[n], n))]


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("rows", type=int, nargs="?", default=100_000, help="(100,000)")
    count = words.parse_args().rows
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with TemporaryDirectory() as folder, kit.store() as server, kit.plain(server) as client:
        path = Path(folder) / "old.db"
        expected = make(path, count)
        command = kit.command("import", path, "--redis", server.url)
        started = time.perf_counter()
        child = subprocess.Popen(command, cwd=kit.SCRIPTS)
        kit.until(lambda: int(client.zcard(_QUEUE)) >= count // 2, "half of the rows", 600)
        child.kill()
        child.wait()
        stored, seconds = client.zcard(_QUEUE), time.perf_counter() - started
        print(f"killed after {seconds:.1f} s with {stored:,} of {count:,} rows in the queue")
        started = time.perf_counter()
        done = subprocess.run(command, cwd=kit.SCRIPTS, text=True, capture_output=True, check=True)
        print(f"resumed for {time.perf_counter() - started:.1f} s: {done.stdout.strip()}")
        members = client.zrange(_QUEUE, 0, -1)
        is_equal = [str(member).partition(":")[2] for member in members] == expected

        async def findings(broker: Broker) -> int:
            return len(await audit(broker.runner.client, kit.TYPE))

        print(f"order equal: {is_equal}; findings of the audit: {kit.run(server.url, findings)}")
        if not is_equal:
            sys.exit(1)


if __name__ == "__main__":
    main()
