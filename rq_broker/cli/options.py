"""The options of the commands: each one sets a field of Settings, and has an RQ_BROKER_* variable.

The option wins over the variable, the variable over the default of the field.
"""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

import click
from click.core import ParameterSource

from rq_broker.cli.log_lines import set_up_logging
from rq_broker.domain.errors import BrokerError, Invalid
from rq_broker.settings import Settings

Decorator = Callable[[Callable[..., None]], Callable[..., None]]

_DEFAULTS = {field.name: field.default for field in fields(Settings)}


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


def _option(flag: str, help_: str, setting: str | None = None, **options: Any) -> Decorator:
    """Make the option of a setting, which is named as the flag where `setting` is left out.

    `show_default` says in words what a setting without a value means.
    """
    word = flag.removeprefix("--").replace("-", "_")
    setting = setting or word
    if "show_default" not in options:
        options |= {"default": _DEFAULTS[setting], "show_default": True}
    variable = f"RQ_BROKER_{word.upper()}"
    return click.option(
        flag, setting, cls=_Option, envvar=variable, show_envvar=True, help=help_, **options
    )


class _Span(click.ParamType[float]):
    """A span of time: `90d`, `12h`, `30m`, `15s`, or a number of seconds."""

    name = "span"
    _UNITS: Mapping[str, int] = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the seconds of a span."""
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d{1,9})([smhd]?)", value)
        if not match:
            self.fail(f"{value!r} is not a span such as 90d, 12h, 30m or 15s", param, ctx)
        return float(match[1]) * self._UNITS[match[2]]


SPAN = _Span()

OPTIONS: dict[str, Decorator] = {
    "redis": _option("--redis", "Redis that keeps the state.", metavar="URL"),
    "host": _option("--host", "Address to serve on."),
    "port": _option("--port", "Port to serve on.", type=click.IntRange(1, 65535)),
    "min_replicas_acked": _option(
        "--min-replicas-acked",
        "Replicas of Redis that must have a write before it is answered.",
        type=click.IntRange(0),
        metavar="N",
    ),
    "workers": _option("--workers", "Number of API processes.", type=click.IntRange(1)),
    "keep_alive": _option(
        "--keep-alive",
        "Seconds that an idle connection stays open.",
        type=click.FloatRange(0.1, 3600),
    ),
    "grace": _option(
        "--grace",
        "Seconds that requests under way have to end after SIGTERM.",
        type=click.FloatRange(0, 3600),
    ),
    "max_connections": _option(
        "--max-connections",
        "Most connections that one API process serves at once.",
        type=click.IntRange(1),
        show_default="what its file descriptors allow",
    ),
    "max_connections_per_address": _option(
        "--max-connections-per-address",
        "Most connections of one client address. Raise it if one proxy brings all clients.",
        type=click.IntRange(1),
        show_default="half of --max-connections",
    ),
    "insecure": _option(
        "--insecure", "Serve beyond loopback without access control.", is_flag=True
    ),
    "allowed_hosts": _option(
        "--allowed-hosts",
        "Names by which the API is called, beside localhost and IP addresses.",
        metavar="NAME|*.NAME|*,…",
        show_default="on loopback no other, else every name",
    ),
    "cors_origins": _option(
        "--cors-origins",
        "Origins whose pages may call the API from a browser.",
        metavar="ORIGIN,…",
        show_default="its own pages only",
    ),
    "forwarded_allow_ips": _option(
        "--forwarded-allow-ips",
        "Proxies whose X-Forwarded-For and -Proto are believed.",
        metavar="IP|CIDR|*,…",
        show_default="none",
    ),
    "root_path": _option(
        "--root-path",
        "Path below which a proxy serves the API, and which it strips.",
        metavar="/PATH",
        show_default="none",
    ),
    "tokens": _option(
        "--tokens",
        "Refuse every call without a token of `rq-broker token create`.",
        is_flag=True,
    ),
    "open_types": _option(
        "--open-types",
        "Let clients, sources and operators make types too, not only admins.",
        is_flag=True,
    ),
    "rate_limit": _option(
        "--rate-limit",
        "Requests a second of each identity that is no admin; 0: any number.",
        type=click.FloatRange(0, 1_000_000),
        metavar="RATE",
    ),
    "owner_rate_limit": _option(
        "--owner-rate-limit",
        "Requests a second of all identities of one owner; 0: any number.",
        type=click.FloatRange(0, 1_000_000),
        metavar="RATE",
    ),
    "admin_rate_limit": _option(
        "--admin-rate-limit",
        "Requests a second of each admin; of each address without access control; 0: any number.",
        type=click.FloatRange(0, 1_000_000),
        metavar="RATE",
    ),
    "max_types": _option(
        "--max-types",
        "Most types that clients may make. Those that there are stay.",
        type=click.IntRange(0),
        metavar="N",
    ),
    "types": _option(
        "--type",
        "Work on this type only. May be repeated.",
        "types",
        multiple=True,
        show_default="every type",
    ),
    "callback_base": _option(
        "--callback-base",
        "URL that callbacks without a scheme are resolved against.",
        metavar="URL",
        show_default="refuse such callbacks",
    ),
    "callback_allow": _option(
        "--callback-allow",
        "Networks and names that callbacks may go to besides private networks.",
        metavar="CIDR|HOST,…",
        show_default="private networks only",
    ),
    "callback_deny": _option(
        "--callback-deny",
        "Networks and names that callbacks never go to. Wins over --callback-allow.",
        metavar="CIDR|HOST,…",
        show_default="none",
    ),
    "callback_ports": _option(
        "--callback-ports",
        "The only ports that callbacks may go to.",
        metavar="PORT,…",
        show_default="every port",
    ),
    "timeout": _option(
        "--timeout",
        "Seconds that one callback attempt may take.",
        type=click.FloatRange(0.1, 300),
    ),
    "concurrency": _option(
        "--concurrency",
        "Callbacks that one notifier sends at the same time.",
        type=click.IntRange(1, 10_000),
    ),
    "source": _option(
        "--source",
        "File that lists the capacity sources to poll.",
        metavar="FILE.toml",
        show_default="poll no source",
    ),
    "log_level": _option(
        "--log-level",
        "Log lines of this level and above.",
        type=click.Choice(["debug", "info", "warning", "error"]),
    ),
    "sample": _option(
        "--sample",
        "Check only this number of jobs of each type, chosen at random.",
        type=click.IntRange(1),
        show_default="check everything",
    ),
    "follow": _option("--follow", "Go on with lines as they are written.", is_flag=True),
    "as_json": _option("--json", "Print one JSON object a line.", "as_json", is_flag=True),
    "since": _option(
        "--since",
        "Begin so long ago, as 2h or 7d.",
        type=SPAN,
        show_default="all that is kept",
    ),
    "repair": _option(
        "--repair",
        "Mend what is found, where the truth can be known.",
        is_flag=True,
    ),
    "resume": _option(
        "--resume",
        "File that keeps how far the audit is; where it exists, go on from there.",
        metavar="FILE",
        show_default="begin anew",
    ),
    "role": _option(
        "--role",
        "What the process of the Redis user does.",
        type=click.Choice(["api", "notifier", "reader", "submitter", "granter"]),
    ),
    "user": _option("--user", "Name of the Redis user.", show_default="rq-broker-ROLE"),
}
_LISTS: dict[str, type[str] | type[int]] = {
    "allowed_hosts": str,
    "cors_origins": str,
    "forwarded_allow_ips": str,
    "callback_allow": str,
    "callback_deny": str,
    "callback_ports": int,
}
"""Options that take a comma-separated list → type of an item."""


def with_settings(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command these options, and call it with the Settings they make.

    Other options of the command are passed on to it. A BrokerError of the command ends the process
    with exit code 1 and its sentence.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def call(**values: Any) -> None:
            try:
                settings = _settings({name: values.pop(name) for name in names})
                set_up_logging(settings.log_level)
                command(settings, **values)
            except BrokerError as error:
                raise click.ClickException(_with_variables(str(error))) from error

        run: Callable[..., None] = call
        # The help lists the options in the reverse order of their application.
        for name in reversed(names):
            run = OPTIONS[name](run)
        return run

    return decorate


def _with_variables(sentence: str) -> str:
    """Name, behind each option in a sentence, the variable that its value came from."""
    context = click.get_current_context()
    for option in context.command.params:
        source = context.get_parameter_source(option.name or "")
        if source is ParameterSource.ENVIRONMENT:
            flag = option.opts[0]
            # Some sentences name an option without its dashes, which is clear of long names only.
            name = f"(?:--)?{flag[2:]}" if "-" in flag[2:] else flag
            pattern = rf"(?<![\w-]){name}(?![\w-])"
            sentence = re.sub(pattern, rf"\g<0> (from {option.envvar})", sentence, count=1)
    return sentence


def _settings(values: dict[str, Any]) -> Settings:
    given = {name: value for name, value in values.items() if value is not None}
    for name, item_type in _LISTS.items():
        if name in given:
            try:
                given[name] = tuple(item_type(item.strip()) for item in given[name].split(","))
            except ValueError as error:
                raise Invalid(f"--{name.replace('_', '-')}: {error}") from None
    return Settings(**given)
