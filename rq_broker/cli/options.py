"""The options of the commands: each one sets a field of Settings, and has an RQ_BROKER_* variable.

The option wins over the variable, the variable over the default of the field.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

import click
from click.core import ParameterSource

from rq_broker.cli.log_lines import set_up_logging
from rq_broker.cli.option import Decorator, option
from rq_broker.cli.provider_options import PROVIDER_OPTIONS
from rq_broker.cli.secret_files import choose_redis, warn_of_visible_password
from rq_broker.cli.spans import SPAN
from rq_broker.domain.errors import BrokerError, Invalid
from rq_broker.settings import Settings

OPTIONS: dict[str, Decorator] = {
    "redis": option("--redis", "Redis that keeps the state.", metavar="URL"),
    "redis_file": option(
        "--redis-file",
        "File that holds the URL of Redis, so that no password is on the command line.",
        metavar="FILE",
        show_default="--redis",
    ),
    "secret_key_file": option(
        "--secret-key-file",
        "File of the keys that signing keys are encrypted with. The first encrypts.",
        metavar="FILE",
        show_default="store signing keys as they are",
    ),
    "host": option("--host", "Address to serve on."),
    "port": option("--port", "Port to serve on.", type=click.IntRange(1, 65535)),
    "min_replicas_acked": option(
        "--min-replicas-acked",
        "Replicas of Redis that must have a write before it is answered.",
        type=click.IntRange(0),
        metavar="N",
    ),
    "workers": option("--workers", "Number of API processes.", type=click.IntRange(1)),
    "keep_alive": option(
        "--keep-alive",
        "Seconds that an idle connection stays open.",
        type=click.FloatRange(0.1, 3600),
    ),
    "grace": option(
        "--grace",
        "Seconds that requests under way have to end after SIGTERM.",
        type=click.FloatRange(0, 3600),
    ),
    "max_connections": option(
        "--max-connections",
        "Most connections that one API process serves at once.",
        type=click.IntRange(1),
        show_default="what its file descriptors allow",
    ),
    "max_connections_per_address": option(
        "--max-connections-per-address",
        "Most connections of one client address. Raise it if one proxy brings all clients.",
        type=click.IntRange(1),
        show_default="half of --max-connections",
    ),
    "insecure": option("--insecure", "Serve beyond loopback without access control.", is_flag=True),
    "allowed_hosts": option(
        "--allowed-hosts",
        "Names by which the API is called, beside localhost and IP addresses.",
        metavar="NAME|*.NAME|*,…",
        show_default="on loopback no other, else every name",
    ),
    "cors_origins": option(
        "--cors-origins",
        "Origins whose pages may call the API from a browser.",
        metavar="ORIGIN,…",
        show_default="its own pages only",
    ),
    "forwarded_allow_ips": option(
        "--forwarded-allow-ips",
        "Proxies whose X-Forwarded-For and -Proto are believed.",
        metavar="IP|CIDR|*,…",
        show_default="none",
    ),
    "root_path": option(
        "--root-path",
        "Path below which a proxy serves the API, and which it strips.",
        metavar="/PATH",
        show_default="none",
    ),
    "tokens": option(
        "--tokens",
        "Refuse every call without a token of `rq-broker token create`.",
        is_flag=True,
    ),
    "open_types": option(
        "--open-types",
        "Let clients, sources and operators make types too, not only admins.",
        is_flag=True,
    ),
    "no_dashboard": option("--no-dashboard", "Serve no page for people at /.", is_flag=True),
    "read_only": option(
        "--read-only",
        "Refuse every change over HTTP; reads and what-ifs go on.",
        is_flag=True,
    ),
    "rate_limit": option(
        "--rate-limit",
        "Requests a second of each identity that is no admin; 0: any number.",
        type=click.FloatRange(0, 1_000_000),
        metavar="RATE",
    ),
    "owner_rate_limit": option(
        "--owner-rate-limit",
        "Requests a second of all identities of one owner; 0: any number.",
        type=click.FloatRange(0, 1_000_000),
        metavar="RATE",
    ),
    "admin_rate_limit": option(
        "--admin-rate-limit",
        "Requests a second of each admin; of each address without access control; 0: any number.",
        type=click.FloatRange(0, 1_000_000),
        metavar="RATE",
    ),
    "wait_limit": option(
        "--wait-limit",
        "Waiting reads and event streams of an identity that is no admin, in a process; 0: any.",
        type=click.IntRange(0),
        metavar="N",
    ),
    "session_idle": option(
        "--session-idle",
        "Seconds without a request after which a browser is signed out.",
        type=click.FloatRange(1),
        metavar="SECONDS",
    ),
    "session_lifetime": option(
        "--session-lifetime",
        "Seconds after which a browser is signed out, whatever it does.",
        type=click.FloatRange(1),
        metavar="SECONDS",
    ),
    "max_types": option(
        "--max-types",
        "Most types that clients may make. Those that there are stay.",
        type=click.IntRange(0),
        metavar="N",
    ),
    **PROVIDER_OPTIONS,
    "types": option(
        "--type",
        "Work on this type only. May be repeated.",
        "types",
        multiple=True,
        show_default="every type",
    ),
    "callback_base": option(
        "--callback-base",
        "URL that callbacks without a scheme are resolved against.",
        metavar="URL",
        show_default="refuse such callbacks",
    ),
    "callback_allow": option(
        "--callback-allow",
        "Networks and names that callbacks may go to besides private networks.",
        metavar="CIDR|HOST,…",
        show_default="private networks only",
    ),
    "callback_deny": option(
        "--callback-deny",
        "Networks and names that callbacks never go to. Wins over --callback-allow.",
        metavar="CIDR|HOST,…",
        show_default="none",
    ),
    "callback_ports": option(
        "--callback-ports",
        "The only ports that callbacks may go to.",
        metavar="PORT,…",
        show_default="every port",
    ),
    "timeout": option(
        "--timeout",
        "Seconds that one callback attempt may take.",
        type=click.FloatRange(0.1, 300),
    ),
    "concurrency": option(
        "--concurrency",
        "Callbacks that one notifier sends at the same time.",
        type=click.IntRange(1, 10_000),
    ),
    "source": option(
        "--source",
        "File that lists the capacity sources to poll.",
        metavar="FILE.toml",
        show_default="poll no source",
    ),
    "metrics_port": option(
        "--metrics-port",
        "Port on which the notifier serves its metrics, for Prometheus.",
        type=click.IntRange(1, 65535),
        show_default="serve none",
    ),
    "metrics_host": option("--metrics-host", "Address to serve them on; they need no identity."),
    "log_level": option(
        "--log-level",
        "Log lines of this level and above.",
        type=click.Choice(["debug", "info", "warning", "error"]),
    ),
    "log_format": option(
        "--log-format",
        "How log lines are written; json also has one for each submit, grant and callback.",
        type=click.Choice(["text", "json"]),
    ),
    "sample": option(
        "--sample",
        "Check only this number of jobs of each type, chosen at random.",
        type=click.IntRange(1),
        show_default="check everything",
    ),
    "dry_run": option("--dry-run", "Tell what would be imported; write nothing.", is_flag=True),
    "again": option(
        "--again",
        "Look at every row, also those of earlier runs; jobs that are there are left alone.",
        is_flag=True,
    ),
    "follow": option("--follow", "Go on with lines as they are written.", is_flag=True),
    "as_json": option("--json", "Print one JSON object a line.", "as_json", is_flag=True),
    "since": option(
        "--since",
        "Begin so long ago, as 2h or 7d.",
        type=SPAN,
        show_default="all that is kept",
    ),
    "repair": option(
        "--repair",
        "Mend what is found, where the truth can be known.",
        is_flag=True,
    ),
    "resume": option(
        "--resume",
        "File that keeps how far the audit is; where it exists, go on from there.",
        metavar="FILE",
        show_default="begin anew",
    ),
    "metrics_file": option(
        "--metrics-file",
        "File to write the result to, for the textfile collector of Prometheus' node_exporter.",
        metavar="FILE.prom",
        show_default="write none",
    ),
    "role": option(
        "--role",
        "What the process of the Redis user does.",
        type=click.Choice(["api", "notifier", "reader", "submitter", "granter"]),
    ),
    "user": option("--user", "Name of the Redis user.", show_default="rq-broker-ROLE"),
}


def _port(text: str) -> int:
    """Return a port. Raises ValueError."""
    port = int(text)
    if not 1 <= port <= 65535:
        raise ValueError(text)
    return port


_LISTS: dict[str, Callable[[str], Any]] = {
    "jwt_roles": str,
    "keystone_roles": str,
    "allowed_hosts": str,
    "cors_origins": str,
    "forwarded_allow_ips": str,
    "callback_allow": str,
    "callback_deny": str,
    "callback_ports": _port,
}
"""Options that take a comma-separated list → what makes an item of its text."""


def with_settings(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command these options, and call it with the Settings they make.

    `redis` brings `redis_file` with it. Other options of the command are passed on to it. A
    BrokerError of the command ends the process with exit code 1 and its sentence.
    """

    wanted = list(dict.fromkeys(names))
    if "redis" in wanted and "redis_file" not in wanted:
        wanted.insert(wanted.index("redis") + 1, "redis_file")

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def call(**values: Any) -> None:
            try:
                settings = _settings({name: values.pop(name) for name in wanted})
                set_up_logging(settings.log_level, settings.log_format)
                warn_of_visible_password(settings.redis)
                command(settings, **values)
            except BrokerError as error:
                raise click.ClickException(_with_variables(str(error))) from error

        run: Callable[..., None] = call
        # The help lists the options in the reverse order of their application.
        for name in reversed(wanted):
            run = OPTIONS[name](run)
        return run

    return decorate


def _with_variables(sentence: str) -> str:
    """Name, behind each option in a sentence, the variable that its value came from."""
    context = click.get_current_context()
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if source is ParameterSource.ENVIRONMENT:
            flag = parameter.opts[0]
            # Some sentences name an option without its dashes, which is clear of long names only.
            name = f"(?:--)?{flag[2:]}" if "-" in flag[2:] else flag
            pattern = rf"(?<![\w-]){name}(?![\w-])"
            sentence = re.sub(pattern, rf"\g<0> (from {parameter.envvar})", sentence, count=1)
    return sentence


def _settings(values: dict[str, Any]) -> Settings:
    given = {name: value for name, value in values.items() if value is not None}
    for name, item_type in _LISTS.items():
        if name in given:
            try:
                given[name] = tuple(item_type(item.strip()) for item in given[name].split(","))
            except ValueError:
                option = f"--{name.replace('_', '-')}"
                raise Invalid(f"{option} takes ports by commas, as 80,443") from None
    choose_redis(given)
    return Settings(**given)
