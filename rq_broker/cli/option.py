"""Makes one option of the commands: it sets a field of Settings, and has a variable."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import click

from rq_broker.settings import Settings

Decorator = Callable[[Callable[..., None]], Callable[..., None]]

DEFAULTS: dict[str, Any] = {field.name: field.default for field in fields(Settings)}
"""Setting → what it is without an option."""


_SERVICE_LINK = re.compile(r"(tcp|udp|sctp)://\S*", re.I)
"""What Kubernetes, and Docker's links, set `<SERVICE>_PORT` to: RQ_BROKER_PORT for a Service named
`rq-broker`. No option has such a value."""

_log = logging.getLogger(__name__)


class _Option(click.Option):
    """An option whose variable may be one that Kubernetes sets for a Service."""

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """Return the value of the variable; None if it is not set, or by Kubernetes only."""
        value = super().resolve_envvar_value(ctx)
        if value is None or not _SERVICE_LINK.fullmatch(value.strip()):
            return value
        _log.warning(
            "the variable %s=%s is ignored: it has the form that Kubernetes sets for a Service",
            self.envvar,
            value,
        )
        return None


def option(flag: str, help_: str, setting: str | None = None, **options: Any) -> Decorator:
    """Make the option of a setting, which is named as the flag where `setting` is left out.

    `show_default` says in words what a setting without a value means.
    """
    word = flag.removeprefix("--").replace("-", "_")
    setting = setting or word
    if "show_default" not in options:
        options |= {"default": DEFAULTS[setting], "show_default": True}
    variable = f"RQ_BROKER_{word.upper()}"
    return click.option(
        flag, setting, cls=_Option, envvar=variable, show_envvar=True, help=help_, **options
    )
