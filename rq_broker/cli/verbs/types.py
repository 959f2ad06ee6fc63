"""The commands on types: types, type, policy, pause, resume."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from rq_broker.cli.connecting import with_client
from rq_broker.cli.verbs.arguments import JSON, TYPE, YES, confirm
from rq_broker.cli.verbs.listing import STATUSES

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from rq_broker.client import Client


@click.command()
@JSON
@with_client
def types(client: Client, as_json: bool) -> None:
    """Count the jobs of every type."""
    from rq_broker.cli.output.columns import Column
    from rq_broker.cli.output.objects import print_objects
    from rq_broker.cli.output.table import print_table

    counts = sorted(client.types().items())
    if as_json:
        print_objects({"type": name, "counts": by_status} for name, by_status in counts)
        return
    columns = [Column("TYPE", gives_way=True)]
    columns += [Column(status.upper(), right=True) for status in STATUSES]
    print_table((columns, (
        [name, *(str(by_status[status]) for status in STATUSES)] for name, by_status in counts
    )))  # fmt: skip


@click.group("type")
def type_() -> None:
    """Show one type, or forget an empty one."""


@type_.command("show")
@TYPE
@JSON
@with_client
def show_type(client: Client, type_: str, as_json: bool) -> None:
    """Show how many jobs a type has, and what of its policy is not the default."""
    from rq_broker.cli.output.objects import print_objects
    from rq_broker.cli.output.pairs import print_pairs
    from rq_broker.domain.policy import ROWS

    shown = client.policy(type_)
    if as_json:
        print_objects([shown])
        return
    changed = [
        f"{row.name}={value_words(shown['policy'][row.name])}"
        for row in ROWS
        if row.name in shown["policy"] and shown["policy"][row.name] != row.default
    ]
    print_pairs([
        ("type", shown["name"]),
        *((status, str(shown["counts"][status])) for status in STATUSES),
        ("policy", " ".join(changed) or "all as by default"),
    ])  # fmt: skip


@type_.command("delete")
@TYPE
@YES
@JSON
@with_client
def delete_type(client: Client, type_: str, yes: bool, as_json: bool) -> None:
    """Forget an empty type, its policy and its signing keys."""
    from rq_broker.cli.output.objects import print_objects
    from rq_broker.cli.output.text import harmless

    confirm(f"Forget the type {harmless(type_)}, its policy and its keys?", yes=yes)
    client.drop_type(type_)
    if as_json:
        print_objects([{"type": type_, "deleted": True}])


def _complete_fields(
    ctx: click.Context,  # noqa: ARG001 - click passes it
    param: click.Parameter,  # noqa: ARG001 - click passes it
    incomplete: str,
) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    from rq_broker.client.policy_types import PolicyChange

    names = PolicyChange.__annotations__
    return [CompletionItem(f"{name}=") for name in names if name.startswith(incomplete)]


@click.command()
@TYPE
@click.argument("fields", metavar="[FIELD=VALUE]...", nargs=-1, shell_complete=_complete_fields)
@JSON
@with_client
def policy(client: Client, type_: str, fields: Sequence[str], as_json: bool) -> None:
    """Show the policy of a type, or change fields of it.

    A value is JSON, or a word as it is: patience=600 paused=true holds=until_seen patience=null
    'limits={"lab-7": {"VCPU": 64}}'. All other fields stay as they are, and in limits,
    queue_limits and share all that is not named; null removes one: 'limits={"lab-7": null}'.
    """
    from rq_broker.cli.output.columns import Column
    from rq_broker.cli.output.objects import print_objects
    from rq_broker.cli.output.table import print_table

    shown = client.patch_policy(type_, **_changes(fields)) if fields else client.policy(type_)
    if as_json:
        print_objects([shown["policy"]])
    else:
        columns = (
            Column("FIELD"),
            Column("VALUE", gives_way=True),
            Column("DEFAULT", style=lambda _: "dim"),
            Column("MEANING", gives_way=True, folds=True),
        )
        print_table((columns, _policy_rows(shown["policy"])))


def _policy_rows(policy: Mapping[str, Any]) -> Iterator[list[str]]:
    from rq_broker.domain.policy import ROWS

    known = {row.name: row for row in ROWS}
    for name, value in policy.items():
        row = known.get(name)  # None of a field that a newer API has
        default = value_words(row.default) if row else "?"
        is_default = row is not None and row.default == value
        yield [name, value_words(value), "" if is_default else default, row.meaning if row else ""]


def value_words(value: Any) -> str:
    """Render a value of the policy as it may be typed."""
    import json

    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _changes(fields: Sequence[str]) -> Any:
    import json

    changes: dict[str, Any] = {}
    for field in fields:
        name, equals, value = field.partition("=")
        if not equals or not name:
            raise click.UsageError(f"{field!r} is not FIELD=VALUE, as in patience=600")
        if name in changes:
            raise click.UsageError(f"{name!r} is given twice")
        try:
            changes[name] = json.loads(value)
        except ValueError:
            if value[:1] in ("{", "["):
                raise click.UsageError(f"the value of {name!r} is no JSON") from None
            changes[name] = value
    return changes


@click.command()
@TYPE
@JSON
@with_client
def pause(client: Client, type_: str, as_json: bool) -> None:
    """Stop the grants of a type."""
    _set_paused(client, type_, True, as_json)


@click.command()
@TYPE
@JSON
@with_client
def resume(client: Client, type_: str, as_json: bool) -> None:
    """Let a paused type grant again."""
    _set_paused(client, type_, False, as_json)


def _set_paused(client: Client, type_: str, paused: bool, as_json: bool) -> None:
    from rq_broker.cli.output.objects import print_objects

    client.patch_policy(type_, paused=paused)
    if as_json:
        print_objects([{"type": type_, "paused": paused}])
