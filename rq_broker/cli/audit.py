"""`rq-broker audit`: findings of every type, for people and for cron."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import click

from rq_broker.settings import Settings
from rq_broker.store.audit import Severity
from rq_broker.store.audit import audit as audit_type
from rq_broker.store.broker import Broker
from rq_broker.store.connection import connect


def run(settings: Settings) -> None:
    """Print each finding, or "clean"; exits with 1 if one of them is a fault."""
    if faults := asyncio.run(_print_findings(settings)):
        raise SystemExit(f"{faults} fault{'s' * (faults > 1)}")
    click.echo("clean")


async def _print_findings(settings: Settings) -> int:
    """Print the findings of the types in the settings, else of all; returns the faults' count."""
    faults = 0
    async with aclosing(connect(settings.redis)) as client:
        for type_ in settings.types or await Broker(client).names():
            for finding in await audit_type(client, type_):
                click.echo(f"{type_}: {finding}")
                faults += finding.severity is Severity.FAULT
    return faults
