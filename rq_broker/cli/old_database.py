"""Reads the SQLite database of the original service, inwinstack/resource-queue.

It has one table, `jobs`, that gorm made: id, created_at, updated_at, deleted_at (null unless the
row is deleted), request_id, type, owner_id, data (JSON text), callback, priority (nanoseconds since
2018-07-26T05:51:00.621743Z) and status.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from rq_broker.api.submit import submission
from rq_broker.domain import exact_json
from rq_broker.domain.errors import Invalid
from rq_broker.domain.jobs import Submission

WAITING = ("queued", "queue")
"""Statuses of rows that wait. The original's README spells it both ways."""
ENDED = ("granted", "running", "done", "error")
"""Statuses of rows that are left out: what they hold, or held, is known to the hosts' sources."""
_NANOSECONDS = 1000
"""Of a microsecond, the unit of priorities here."""
_COLUMNS = ("id", "created_at", "deleted_at", "request_id", "type", "owner_id", "data", "callback",
            "priority", "status")  # fmt: skip
_UNCHANGED = "id, created_at, type, request_id, owner_id, callback, data"
_LIVE = "deleted_at IS NULL"
_QUEUED = f"{_LIVE} AND status IN ('{WAITING[0]}', '{WAITING[1]}')"
_READABLE = "typeof(id) = 'integer' AND typeof(priority) = 'integer' AND typeof(type) = 'text'"

_TYPE = "CAST(? AS TEXT)"
"""A type as its bytes: sqlite3 takes no text that is not UTF-8."""


class Row(NamedTuple):
    """A job that waits."""

    id: int
    priority: int
    """In nanoseconds."""
    request_id: Any
    owner_id: Any
    data: Any
    callback: Any

    def submission(self, callback_base: str | None) -> Submission:
        """Return what to submit.

        The order of priorities stays: where two have one microsecond, that of the submits decides.

        Raises:
            Invalid: Some field is not valid; the sentence names it.
        """
        body = {
            "request_id": self.request_id,
            "owner_id": self.owner_id,
            "callback": self.callback,
            "priority": self.priority // _NANOSECONDS,
            "data": _data(self.data),
        }
        for name, value in body.items():
            if isinstance(value, bytes) or (isinstance(value, str) and not _is_unicode(value)):
                raise Invalid(f"{name} is no text in UTF-8")
        return submission(body, callback_base)


def _data(text: Any) -> Any:
    if not isinstance(text, str):
        raise Invalid("data must be the text of a JSON object")
    try:
        return exact_json.loads(text.encode())
    except (Invalid, UnicodeEncodeError) as error:
        raise Invalid(f"data: {error}") from error


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _bytes_of(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


class Position(NamedTuple):
    """The last row of a type that is done with, in the order of the queue."""

    priority: int
    id: int


class OldDatabase:
    """The database, opened to read only."""

    def __init__(self, path: Path) -> None:
        """Open it. Raises Invalid for a file that is no such database."""
        try:
            self._connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
            self._connection.text_factory = lambda value: value.decode(errors="surrogateescape")
            columns = {row[1] for row in self._rows("PRAGMA table_info(jobs)")}
        except sqlite3.DatabaseError as error:
            raise Invalid(f"{path} is not read as an SQLite database: {error}") from error
        if missing := [name for name in _COLUMNS if name not in columns]:
            raise Invalid(f"{path} has no table jobs with the column {missing[0]}")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _rows(self, query: str, *values: object) -> Iterator[tuple[Any, ...]]:
        return iter(self._connection.execute(query, values))

    @property
    def identity(self) -> str:
        """What tells this database from others, wherever its file lies: its first row.

        All is taken of it that never changes: a service that began with the same job at the same
        second has another owner or data there.
        """
        row = next(self._rows(f"SELECT {_UNCHANGED} FROM jobs ORDER BY id LIMIT 1"), ())
        return sha256(repr(row).encode(errors="surrogateescape")).hexdigest()[:16]

    @property
    def newest(self) -> int:
        """The largest ID."""
        query = "SELECT coalesce(max(id), 0) FROM jobs WHERE typeof(id) = 'integer'"
        (newest,) = next(self._rows(query))
        return int(newest)

    def left_out(self) -> Mapping[str, int]:
        """Count the rows that are deleted, or in a status that is left out."""
        (deleted,) = next(self._rows("SELECT count(*) FROM jobs WHERE deleted_at IS NOT NULL"))
        grouped = self._rows(f"SELECT status, count(*) FROM jobs WHERE {_LIVE} GROUP BY status")
        counts = {str(status): count for status, count in grouped if status in ENDED}
        return {"deleted": deleted, **counts} if deleted else counts

    def unreadable(self) -> Iterator[tuple[int, str]]:
        """Yield the ID of each row that no type or place in a queue can be told of, and why."""
        known = ", ".join(f"'{status}'" for status in (*WAITING, *ENDED))
        query = (
            f"SELECT id, type, priority, status FROM jobs WHERE {_LIVE} AND "
            f"(status IS NULL OR status NOT IN ({known}) OR ({_QUEUED} AND NOT ({_READABLE}))) "
            "ORDER BY id"
        )
        for id_, type_, priority, status in self._rows(query):
            if status not in WAITING:
                yield id_, f"status {status!r} is not known"
            elif not isinstance(type_, str):
                yield id_, f"type must be a text, not {type_!r}"
            elif not isinstance(priority, int):
                yield id_, f"priority must be a whole number, not {priority!r}"
            else:
                yield id_, "id must be a whole number"
        for type_ in self._all_types():
            if not _is_unicode(type_):
                query = f"SELECT id FROM jobs WHERE {_READABLE} AND {_QUEUED} AND type = {_TYPE}"
                for (id_,) in self._rows(query, _bytes_of(type_)):
                    yield id_, f"type {type_!r} is no text in UTF-8"

    def duplicates(self) -> Mapping[int, int]:
        """Return rows that wait with the request_id of an earlier one: ID → ID of that one."""
        query = (
            f"SELECT jobs.id, first FROM jobs JOIN (SELECT type AS t, request_id AS r, min(id) AS "
            f"first FROM jobs WHERE {_QUEUED} GROUP BY type, request_id HAVING count(*) > 1) "
            f"ON type = t AND request_id = r WHERE {_QUEUED} AND jobs.id > first"
        )
        return dict(self._rows(query))

    def types(self) -> list[str]:
        """List the types that have rows that wait."""
        return [type_ for type_ in self._all_types() if _is_unicode(type_)]

    def _all_types(self) -> list[str]:
        """List them with those that are no text in UTF-8."""
        query = f"SELECT DISTINCT type FROM jobs WHERE {_QUEUED} AND {_READABLE} ORDER BY type"
        return [type_ for (type_,) in self._rows(query)]

    def count(self, type_: str, after: int, until: int) -> int:
        """Count the rows of a type that wait, of the IDs above `after` up to `until`."""
        query = f"SELECT count(*) FROM jobs WHERE {_QUEUED} AND {_READABLE} AND type = ? "
        (count,) = next(self._rows(query + "AND id > ? AND id <= ?", type_, after, until))
        return int(count)

    def waiting(
        self, type_: str, after: int, until: int, done: Position | None, limit: int
    ) -> list[Row]:
        """Return the next rows of a type that wait, in the order of its queue.

        Args:
            type_: The type.
            after: Only rows with larger IDs.
            until: Only rows with IDs up to this.
            done: Only rows that stand behind this one.
            limit: How many rows at most.
        """
        query = (
            f"SELECT id, priority, request_id, owner_id, data, callback FROM jobs WHERE {_QUEUED} "
            f"AND {_READABLE} AND type = ? AND id > ? AND id <= ? "
        )
        values: list[object] = [type_, after, until]
        if done:
            query += "AND (priority, id) > (?, ?) "
            values += done
        rows = self._rows(f"{query} ORDER BY priority, id LIMIT ?", *values, limit)
        return [Row(*row) for row in rows]
