"""The options that say what a job needs, and the name of a job that is given none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from rq_broker.cli.verbs.arguments import AMOUNTS, said

if TYPE_CHECKING:
    from rq_broker.cli.connecting import Connection

WHOSE = click.option(
    "--owner", "owner_id", metavar="OWNER",
    show_default="that of your token if it names one; without a token, your name",
    help="Whose job it is.",
)  # fmt: skip
_OPTIONS = (
    click.option("--need", "needs", multiple=True, type=AMOUNTS, metavar="RESOURCE=N,…",
                 help="What an instance needs, as VCPU=4,Memory=8192 (MB); Slots=1 if left out."
                 " Again for others."),
    click.option("--count", default=1, type=click.IntRange(1, 1000), metavar="N", show_default=True,
                 help="Instances like the last --need."),
    click.option("--in", "aggregate", metavar="AGGREGATE", help="Only hosts of this aggregate."),
    click.option("--require", multiple=True, metavar="TRAIT",
                 help="Trait that each host must have."),
    click.option("--forbid", multiple=True, metavar="TRAIT", help="Trait that no host may have."),
    click.option("--spread", is_flag=True, help="No two instances on one host."),
)  # fmt: skip
DEMAND = ("needs", "count", "aggregate", "require", "forbid", "spread")
"""The arguments that `with_demand` gives a command."""


def with_demand(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say what a job needs."""
    for option in reversed(_OPTIONS):  # the help lists them in the reverse order
        command = option(command)
    return command


def demand_of(
    needs: Sequence[Mapping[str, int]],
    count: int,
    aggregate: str | None,
    require: Sequence[str],
    forbid: Sequence[str],
    spread: bool,
    data: Any = None,
) -> dict[str, Any]:
    """Return the demand that the options describe.

    Args:
        needs: Of --need.
        count: Of --count.
        aggregate: Of --in.
        require: Of --require.
        forbid: Of --forbid.
        spread: Of --spread.
        data: A file with the whole demand, in place of all these.
    """
    import json

    conditions = said({
        "host_aggregate": aggregate,
        "require": tuple(require),
        "forbid": tuple(forbid),
        "spread": spread,
    })  # fmt: skip
    if data is None:
        instances: list[dict[str, int]] = [dict(need) for need in needs] or [{"Slots": 1}]
        if count > 1:
            instances[-1]["count"] = count
        return {"instances": instances, **conditions}
    if needs or conditions or count > 1:
        raise click.UsageError("--data has the whole demand: leave --need and its like out")
    try:
        demand = json.load(data)
    except ValueError as error:
        raise click.UsageError(f"--data: {error}") from None
    if not isinstance(demand, dict):
        raise click.UsageError("--data must be a JSON object")
    return demand


def new_name() -> str:
    """Return a name for a job: that of the user, and a random word."""
    import secrets

    from rq_broker.client.wishes import user_name

    return f"{user_name()}-{secrets.token_hex(4)}"


def owner_of(connection: Connection, owner_id: str | None) -> str | None:
    """Return whose a new job is; None: that of the token.

    Args:
        connection: As whom the command calls.
        owner_id: Of --owner.
    """
    from rq_broker.client.wishes import user_name

    return user_name() if owner_id is None and connection.token is None else owner_id
