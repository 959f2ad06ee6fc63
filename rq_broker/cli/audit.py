"""`rq-broker audit`: findings of every type, for people and for cron."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path

import click
from redis.asyncio import Redis, RedisCluster

from rq_broker.cli.acting import act_as_user
from rq_broker.domain.errors import Invalid, Unavailable
from rq_broker.settings import Settings
from rq_broker.store.audit import Checkpoint, Finding, Severity, audit as audit_type
from rq_broker.store.broker import Broker
from rq_broker.store.connection import connect

UNREADABLE = 3
"""Exit status where Redis cannot be read: nothing is known then. 1 means a fault, 2 a wrong use."""

_METRICS = "rq_broker_audit_"

MOST_REPAIRS = 5
"""Repairs of a type in one run. Two mend all that tests break; more end a run beside a broker whose
jobs change so fast that each audit finds others."""


def run(settings: Settings) -> None:
    """Print each finding, and a last line; exits with 1 if one is a fault, with 3 without Redis."""
    try:
        checkpoint = Checkpoint(Path(settings.resume)) if settings.resume else None
    except (OSError, ValueError) as error:
        raise Invalid(f"--resume {settings.resume}: {error}") from error
    try:
        found, faults = asyncio.run(_print_findings(settings, checkpoint))
    except Unavailable as error:
        click.echo(f"Error: {error}", err=True)
        raise SystemExit(UNREADABLE) from error
    except OSError as error:
        raise Invalid(f"--resume {settings.resume}: {error}") from error
    _write_metrics(settings.metrics_file, faults)
    if faults:
        raise SystemExit(f"{faults} fault{'s' * (faults > 1)}")
    click.echo("clean, but for the notes above" if found else "clean")


def _write_metrics(path: str | None, faults: int) -> None:
    """Write the result as a file that Prometheus' node_exporter reads, if there is to be one."""
    if path is None:
        return
    from prometheus_client import CollectorRegistry, Gauge, write_to_textfile  # noqa: PLC0415 - most runs write none

    registry = CollectorRegistry()
    found = Gauge(f"{_METRICS}faults", "Faults that the last audit found", registry=registry)
    ended = Gauge(
        f"{_METRICS}timestamp_seconds", "When the last audit ended, since 1970", registry=registry
    )
    found.set(faults)
    ended.set_to_current_time()
    try:
        write_to_textfile(path, registry)  # atomically, so that nobody reads a half
    except OSError as error:
        raise Invalid(f"--metrics-file {path}: {error.strerror}") from error


async def _print_findings(settings: Settings, checkpoint: Checkpoint | None) -> tuple[int, int]:
    """Print the findings of the types in the settings, else of all; counts them, and the faults."""
    act_as_user()
    found, faults = 0, 0
    async with aclosing(connect(settings.redis)) as client:
        broker = Broker(client)
        async with aclosing(broker):
            for type_ in settings.types:
                if not await broker.type_exists(type_):
                    raise click.BadParameter(f"there is no type {type_}", param_hint="--type")
            for type_ in settings.types or await broker.names():
                done = checkpoint.done(type_) if checkpoint else None
                if done is None:
                    done = await audit_type(
                        client, type_, sample=settings.sample, checkpoint=checkpoint
                    )
                    if checkpoint:
                        checkpoint.finish(type_, done)
                left, faults_left = done, _print(type_, done)
                if faults_left and settings.repair:
                    left = await _repair(client, broker, type_, done)
                    click.echo(f"{type_}: repaired; the audit found this afterwards:")
                    faults_left = _print(type_, left)
                found, faults = found + len(left), faults + faults_left
    if checkpoint:
        checkpoint.remove()
    return found, faults


async def _repair(
    client: Redis | RedisCluster, broker: Broker, type_: str, findings: list[Finding]
) -> list[Finding]:
    """Repair and audit until a repair changes no finding; returns what is left.

    What one repair mends can show what was hidden behind it: a job that is listed again has holds.
    """
    for _ in range(MOST_REPAIRS):
        before = findings
        await broker.repair(type_, findings)
        findings = await audit_type(client, type_)
        if findings == before or not any(_is_fault(finding) for finding in findings):
            break
    return findings


def _is_fault(finding: Finding) -> bool:
    return finding.severity is Severity.FAULT


def _print(type_: str, findings: list[Finding]) -> int:
    """Print the findings of a type; returns how many are faults."""
    for finding in findings:
        click.echo(f"{type_}: {finding}")
    return sum(map(_is_fault, findings))
