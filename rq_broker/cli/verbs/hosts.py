"""The commands on hosts: hosts, and host with its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from rq_broker.cli.connecting import with_client
from rq_broker.cli.verbs.arguments import (
    AMOUNTS,
    HOST,
    HOST_AMOUNTS,
    JSON,
    TYPE,
    YES,
    amounts_option,
    confirm,
    said,
)

if TYPE_CHECKING:
    from rq_broker.cli.output.table import Table
    from rq_broker.client import Client

POLL_SECONDS = 1.0
"""Seconds between two looks at a host that is drained."""


@click.command()
@TYPE
@click.option("--aggregate", metavar="AGGREGATE", help="Only hosts of this aggregate.")
@JSON
@with_client
def hosts(client: Client, type_: str, aggregate: str | None, as_json: bool) -> None:
    """List the hosts of a type, and what is free.

    A client that may not see hosts gets the sums of each aggregate.
    """
    from rq_broker.cli.output.objects import print_objects
    from rq_broker.cli.output.table import print_table

    listed = [
        host
        for host in client.hosts(type_)
        if aggregate is None or aggregate in (host.get("aggregate"), *host.get("aggregates", ()))
    ]
    if as_json:
        print_objects(listed)
    else:
        print_table(table_of_hosts(listed))


def table_of_hosts(hosts: Sequence[Mapping[str, Any]]) -> Table:
    """Return hosts, or sums of hosts, in columns."""
    from rq_broker.cli.output.columns import Column
    from rq_broker.cli.output.need import amounts

    columns = (
        Column("HOST", gives_way=True),
        Column("FREE"),
        Column("OF", gives_way=True),
        Column("USED", gives_way=True),
        Column("HELD", gives_way=True),
        Column("STATE", style=lambda cell: "" if cell == "in service" else "yellow"),
        Column("AGGREGATES", gives_way=True),
        Column("SOURCE", gives_way=True),
    )
    return columns, (
        [
            host["name"] if "name" in host else _sum_of(host),
            amounts(host["free"]),
            amounts(host["capacity"]),
            amounts(_above_zero(host["used"])),
            amounts(_above_zero(host["held"])),
            "dropped" if host.get("dropped") else "in service",
            ",".join(host.get("aggregates") or ()) or "-",
            host.get("source") or "-",
        ]
        for host in hosts
    )


def _sum_of(totals: Mapping[str, Any]) -> str:
    name = totals["aggregate"]
    count = totals["hosts"]
    return f"{count} host{'' if count == 1 else 's'}" + ("" if name is None else f" of {name}")


def _above_zero(amounts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: amount for name, amount in amounts.items() if amount not in (0, [])}


@click.group()
def host() -> None:
    """Show, publish, drain or delete one host."""


@host.command("show")
@TYPE
@HOST
@JSON
@with_client
def show_host(client: Client, type_: str, host: str, as_json: bool) -> None:
    """Show a host with everything that is known of it."""
    _print(client.host(type_, host), as_json)


def _print(shown: Mapping[str, Any], as_json: bool) -> None:
    import json

    from rq_broker.cli.output.objects import print_objects
    from rq_broker.cli.output.pairs import print_pairs

    if as_json:
        print_objects([shown])
        return
    print_pairs(
        (name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for name, value in shown.items()
        if value not in ({}, [])
    )


@host.command("set")
@TYPE
@HOST
@click.argument("capacity", type=HOST_AMOUNTS, metavar="RESOURCE=N,...")
@click.option("--used", type=HOST_AMOUNTS, metavar="RESOURCE=N,…", help="What others use of it.")
@click.option("--aggregate", "aggregates", multiple=True, metavar="AGGREGATE",
              help="Aggregate that it is in. May be repeated.")  # fmt: skip
@click.option("--trait", "traits", multiple=True, metavar="TRAIT",
              help="What it is like, for demands that require it. May be repeated.")  # fmt: skip
@click.option("--anywhere", is_flag=True, help="It is no place, as licences are.")
@click.option("--max-unit", type=AMOUNTS, metavar="RESOURCE=N,…",
              help="The most that one instance may have.")  # fmt: skip
@click.option("--min-unit", type=AMOUNTS, metavar="RESOURCE=N,…",
              help="The least that one instance may have.")  # fmt: skip
@click.option("--step-size", type=AMOUNTS, metavar="RESOURCE=N,…",
              help="What an instance's amount is a multiple of.")  # fmt: skip
@JSON
@with_client
def set_host(client: Client, type_: str, host: str, as_json: bool, **fields: Any) -> None:
    """Publish a host with what it has; whatever was published of it before is replaced.

    Devices are listed by their sizes: GPU=1000+1000. A host that a source reports cannot be
    published.
    """
    figures: Any = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in said(fields).items()
    }
    _print(client.set_host(type_, host, **figures), as_json)


@host.command("drain")
@TYPE
@HOST
@click.option("--no-wait", is_flag=True, help="Do not wait until the last job has ended.")
@YES
@JSON
@with_client
def drain_host(
    client: Client, type_: str, host: str, no_wait: bool, yes: bool, as_json: bool
) -> None:
    """Take a host out of service, and wait until nothing of it is held any more.

    Its jobs keep what they hold, and no other one gets any of it. What puts it back into service is
    printed on standard error. A source puts its hosts back by itself: drain those at the source.
    """
    from rq_broker.cli.output.objects import print_objects
    from rq_broker.cli.output.text import harmless

    shown = client.host(type_, host)
    confirm(f"Take {harmless(host)} out of service?", yes=yes)
    client.drop_host(type_, host)
    if not shown["dropped"]:
        click.echo(f"to put it back: {harmless(_publishing(type_, shown))}", err=True)
    if not no_wait:
        _await_release(client, type_, host)
    if as_json:
        print_objects([{"type": type_, "host": host, "drained": not no_wait}])


def _publishing(type_: str, host: Mapping[str, Any]) -> str:
    """Return the command that publishes a host as it is."""
    import shlex

    words = ["rq-broker", "host", "set", type_, host["name"], amounts_option(host["capacity"])]
    if "source" in host:
        return f"its source {host['source']} does, with its next snapshot"
    for name in ("used", "max_unit", "min_unit", "step_size"):
        if amounts := host.get(name):
            words += [f"--{name.replace('_', '-')}", amounts_option(amounts)]
    for name in ("aggregate", "trait"):
        for value in host.get(f"{name}s", ()):
            words += [f"--{name}", value]
    return shlex.join([*words, *(["--anywhere"] if host.get("anywhere") else [])])


def _await_release(client: Client, type_: str, name: str) -> None:
    """Wait until a host that was dropped is gone, and tell what is still held."""
    import time

    from rq_broker.cli.output.need import amounts
    from rq_broker.cli.output.text import harmless
    from rq_broker.domain.errors import HostNotFound

    told = None
    while True:
        try:
            shown = client.host(type_, name)
        except HostNotFound:
            return
        if not shown["dropped"]:
            raise click.ClickException(
                f"{harmless(name)} is in service again: a source, or somebody, put it back"
            )
        if shown["held"] != told:
            told = shown["held"]
            click.echo(f"{amounts(told)} held on {harmless(name)}; waiting", err=True)
        time.sleep(POLL_SECONDS)


@host.command("delete")
@TYPE
@HOST
@YES
@JSON
@with_client
def delete_host(client: Client, type_: str, host: str, yes: bool, as_json: bool) -> None:
    """Take a host out of service; its jobs keep what they hold."""
    from rq_broker.cli.output.objects import print_objects
    from rq_broker.cli.output.text import harmless

    confirm(f"Delete {harmless(host)}?", yes=yes)
    client.drop_host(type_, host)
    if as_json:
        print_objects([{"type": type_, "host": host, "deleted": True}])
