"""Arguments and options that several commands have in common."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import click

from rq_broker.cli.completing import complete_hosts, complete_request_ids, complete_types
from rq_broker.cli.output.screen import may_ask

Decorator = Callable[[Callable[..., None]], Callable[..., None]]

TYPE: Decorator = click.argument("type_", metavar="TYPE", shell_complete=complete_types)
JOB: Decorator = click.argument("request_id", metavar="JOB", shell_complete=complete_request_ids)
JOBS: Decorator = click.argument(
    "request_ids", metavar="JOB...", nargs=-1, required=True, shell_complete=complete_request_ids
)
HOST: Decorator = click.argument("host", metavar="HOST", shell_complete=complete_hosts)
OWNER: Decorator = click.option(
    "--owner", "owner_id", default="", metavar="OWNER",
    help="Whose job it is, where names are per owner and you act for more than one.",
)  # fmt: skip
JSON: Decorator = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object a line."
)
YES: Decorator = click.option(
    "--yes", is_flag=True, help="Do not ask. Without a terminal nothing is ever asked."
)


class Amounts(click.ParamType[dict[str, int]]):
    """Amounts by resource: `VCPU=4,Memory=8192`."""

    name = "amounts"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[str, int]:
        """Return resource → amount."""
        if isinstance(value, dict):
            return value
        amounts: dict[str, int] = {}
        for part in value.split(","):
            match = re.fullmatch(r"\s*([^=]+?)\s*=\s*(\d{1,16})\s*", part)
            if not match:
                self.fail(f"{part!r} is not RESOURCE=AMOUNT, as in VCPU=4,Memory=8192", param, ctx)
            if match[1] in amounts:
                self.fail(f"{match[1]!r} is given twice", param, ctx)
            amounts[match[1]] = int(match[2])
        return amounts


AMOUNTS = Amounts()


def confirm(question: str, *, yes: bool) -> None:
    """Ask once at a terminal before something that cannot be taken back."""
    if not yes and may_ask():
        click.confirm(question, abort=True, err=True)
