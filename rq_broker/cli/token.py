"""`rq-broker token`: makes and revokes the tokens by which the API knows who asks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import aclosing
from datetime import UTC, datetime
from typing import TypeVar

import click

from rq_broker.cli.acting import act_as_user
from rq_broker.domain.tokens import new_token, rotation
from rq_broker.identity import tokens
from rq_broker.settings import Settings
from rq_broker.store.broker import Broker
from rq_broker.store.connection import connect

_Result = TypeVar("_Result")
_OPTIONS = {"owners": "--owner", "types": "--type", "callback_hosts": "--callback-host"}
"""Limit of a token → the option that sets it."""


def create(settings: Settings, **fields: object) -> None:
    """Make a token, and print it alone on the standard output."""
    given = {name: value for name, value in fields.items() if value not in (None, ())}
    new = new_token(given, _OPTIONS)
    issued = _run(settings, lambda broker: tokens.create(broker, new))
    _show_secret(issued, "made")


def rotate(settings: Settings, name: str, expires: float | None, overlap: float) -> None:
    """Replace a token, and print the new one alone on the standard output."""
    how = rotation({"expires": expires, "overlap": overlap})
    issued = _run(settings, lambda broker: tokens.rotate(broker, name, how))
    _show_secret(issued, "rotated")


def revoke(settings: Settings, name: str) -> None:
    """Refuse a token from now on."""
    _run(settings, lambda broker: broker.revoke_token(name))
    click.echo(f"revoked {name}: within a second every API process refuses it", err=True)


def show(settings: Settings) -> None:
    """Print a line for each token."""
    rows = [("NAME", "ROLE", "OWNERS", "TYPES", "CALLBACK HOSTS", "CREATED", "EXPIRES", "STATE")]
    now = time.time()
    for token in _run(settings, lambda broker: broker.tokens()):
        limits = (_listed(token.owners), _listed(token.types), _listed(token.callback_hosts))
        times = (_date(token.created), _date(token.end))
        rows.append((token.name, token.role.value, *limits, *times, token.state(now)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def _run(settings: Settings, work: Callable[[Broker], Awaitable[_Result]]) -> _Result:
    async def run() -> _Result:
        act_as_user()
        async with aclosing(connect(settings.redis)) as client, aclosing(Broker(client)) as broker:
            return await work(broker)

    return asyncio.run(run())


def _show_secret(issued: tokens.Issued, done: str) -> None:
    expires = f", expires {_date(issued.expires)}" if issued.expires else ""
    click.echo(f"{done} {issued.name}: {issued.role}{expires}; it is shown this once:", err=True)
    click.echo(issued.secret)


def _listed(names: Iterable[str] | None) -> str:
    return "all" if names is None else ",".join(sorted(names))


def _date(moment: float | None) -> str:
    return "never" if moment is None else f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M}Z"
