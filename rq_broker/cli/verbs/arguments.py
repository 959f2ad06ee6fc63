"""Arguments and options that several commands have in common."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import click

from rq_broker.cli.completing import complete_hosts, complete_request_ids, complete_types
from rq_broker.cli.output.screen import may_ask

Decorator = Callable[[Callable[..., None]], Callable[..., None]]

TYPE: Decorator = click.argument("type_", metavar="TYPE", shell_complete=complete_types)
OPTIONAL_TYPE: Decorator = click.argument(
    "type_", metavar="[TYPE]", required=False, shell_complete=complete_types
)
JOB: Decorator = click.argument("request_id", metavar="JOB", shell_complete=complete_request_ids)
OPTIONAL_JOB: Decorator = click.argument(
    "request_id", metavar="[JOB]", required=False, shell_complete=complete_request_ids
)
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


class Amounts(click.ParamType[dict[str, Any]]):
    """Amounts by resource: `VCPU=4,Memory=8192`; of devices the size of each: `GPU=1000+1000`."""

    name = "amounts"

    def __init__(self, *, devices: bool = False) -> None:
        self._amount = r"\d{1,16}(?:\+\d{1,16})*" if devices else r"\d{1,16}"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[str, Any]:
        """Return resource → amount."""
        if isinstance(value, dict):
            return value
        amounts: dict[str, Any] = {}
        for part in value.split(","):
            match = re.fullmatch(rf"\s*([^=]+?)\s*=\s*({self._amount})\s*", part)
            if not match:
                self.fail(f"{part!r} is not RESOURCE=AMOUNT, as in VCPU=4,Memory=8192", param, ctx)
            if match[1] in amounts:
                self.fail(f"{match[1]!r} is given twice", param, ctx)
            sizes = [int(size) for size in match[2].split("+")]
            amounts[match[1]] = sizes if len(sizes) > 1 else sizes[0]
        return amounts


AMOUNTS = Amounts()
HOST_AMOUNTS = Amounts(devices=True)


def amounts_option(amounts: Mapping[str, Any]) -> str:
    """Write amounts as an option takes them."""
    return ",".join(
        f"{name}={'+'.join(map(str, amount)) if isinstance(amount, list) else amount}"
        for name, amount in amounts.items()
    )


def said(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that the command line has; 0 and an empty text are said, too."""
    return {
        name: value
        for name, value in options.items()
        if value is not None and value is not False and value != ()
    }


def confirm(question: str, *, yes: bool) -> None:
    """Ask once at a terminal before something that cannot be taken back."""
    if not yes and may_ask():
        click.confirm(question, abort=True, err=True)
