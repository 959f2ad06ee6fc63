"""Whom the commands that speak HTTP call, and as whom: options, variables, and profiles.

An option wins over a variable, a variable over the configuration. The token of a profile is for its
server: it is not sent to one that `--server` or RQ_BROKER_SERVER names.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from rq_broker.cli.exits import told_as_exits
from rq_broker.cli.profiles import Profile, read_config
from rq_broker.domain.api_url import DEFAULT_SERVER, checked_url

if TYPE_CHECKING:
    import httpx

    from rq_broker.client import AsyncClient, Client

_MOST_BYTES = 64 * 1024
"""Most of a token file that is read: one that is named by mistake must not fill the memory."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Connection:
    """One server, and the token to show there."""

    url: str
    token: str | None = None

    def client(self, **options: Any) -> Client:
        """Return a new sync client; the options are those of Client."""
        from rq_broker.client import Client  # noqa: PLC0415 - slow to import

        if self.url.startswith("http:") and "http" not in options:
            options["http"] = _without_tls(self.url)
        return Client(self.url, token=self.token, **options)

    def telling_client(self) -> Client:
        """Return a new sync client that prints each warning on standard error."""
        return self.client(on_warning=_print_warning)

    def async_client(self, **options: Any) -> AsyncClient:
        """Return a new async client; the options are those of AsyncClient."""
        from rq_broker.client import AsyncClient  # noqa: PLC0415 - slow to import

        return AsyncClient(self.url, token=self.token, **options)


def _without_tls(url: str) -> httpx.Client:
    """Return what the client makes by itself, but for the certificates: 40 ms of each command."""
    import httpx  # noqa: PLC0415 - slow to import

    from rq_broker.client.connections import LIMITS, TIMEOUT_SECONDS  # noqa: PLC0415 - likewise

    # There is no TLS at this address, and no redirect is followed to another one.
    return httpx.Client(base_url=url, timeout=TIMEOUT_SECONDS, limits=LIMITS, verify=False)


def _option(flag: str, help_: str, **options: Any) -> Callable[..., Any]:
    variable = f"RQ_BROKER_{flag.removeprefix('--').replace('-', '_').upper()}"
    return click.option(flag, help=help_, envvar=variable, show_envvar=True, **options)


_OPTIONS = (
    _option("--server", "The API to call.", metavar="URL", show_default=DEFAULT_SERVER),
    _option("--token", "Who calls; better in the variable, in a file or in a profile."),
    _option("--token-file", "File that holds the token.", metavar="FILE"),
    _option(
        "--profile",
        "Profile of ~/.config/rq-broker/config.toml that has server and token.",
        metavar="NAME",
        show_default="the one that the file names",
    ),
)
_NAMES = ("server", "token", "token_file", "profile")


def with_connection(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say whom to call; call it with the Connection.

    A refusal of the broker, and a broker that does not answer, end the command with their ExitCode.
    """

    @functools.wraps(command)
    def call(**values: Any) -> None:
        connection = connection_of(values)
        for name in _NAMES:
            del values[name]
        with told_as_exits(connection.url):
            command(connection, **values)

    run: Callable[..., None] = call
    for option in reversed(_OPTIONS):  # the help lists them in the reverse order
        run = option(run)
    return run


def with_client(command: Callable[..., None]) -> Callable[..., None]:
    """As `with_connection`, but call the command with an open sync client."""

    @functools.wraps(command)
    def call(connection: Connection, **values: Any) -> None:
        with connection.telling_client() as client:
            command(client, **values)

    return with_connection(call)


def _print_warning(warning: str) -> None:
    from rq_broker.cli.output.text import harmless  # noqa: PLC0415 - not needed by --help

    click.echo(f"Warning: {harmless(warning)}", err=True)


def connection_of(values: Mapping[str, Any]) -> Connection:
    """Return whom to call, and as whom, by the values of the options.

    Raises:
        click.ClickException: They contradict each other, or a file of theirs is wrong.
    """
    server, token, token_file, profile = (values.get(name) for name in _NAMES)
    if _typed("server") and _typed("profile"):
        raise click.UsageError("--server and --profile both say whom to call: give one of them")
    if _typed("token") and _typed("token_file"):
        raise click.UsageError("--token and --token-file both say who calls: give one of them")
    if _typed("token"):
        _log.warning(
            "the token in --token is visible to every user of this machine: put it into"
            " RQ_BROKER_TOKEN, into a file for --token-file, or into a profile"
        )
    chosen = Profile() if server and not _typed("profile") else _profile(profile)
    if _typed("token") or _typed("token_file"):
        who = _token(token if _typed("token") else None, token_file)
    elif _typed("profile"):
        who = _token(chosen.token, chosen.token_file) or _token(token, token_file)
    else:
        who = _token(token, token_file) or _token(chosen.token, chosen.token_file)
    url = chosen.server or (None if _typed("profile") else server) or DEFAULT_SERVER
    try:
        return Connection(checked_url(url).rstrip("/"), who)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _typed(name: str) -> bool:
    source = click.get_current_context().get_parameter_source(name)
    return source is ParameterSource.COMMANDLINE


def _profile(name: str | None) -> Profile:
    config = read_config()
    name = name or config.default
    return config.profile(name) if name else Profile()


def _token(token: str | None, path: str | None) -> str | None:
    """Return the token, or that of the file; None without either."""
    if not token and not path:
        return None
    words = [token] if token else _words_of(path or "")
    if len(words) != 1:
        raise click.UsageError(f"the token file {path} must hold one line, the token")
    if not (words[0].isascii() and words[0].isprintable()):
        raise click.UsageError("the token holds characters that no token has")
    return words[0]


def _words_of(path: str) -> list[str]:
    try:
        with Path(path).open("rb") as file:
            return file.read(_MOST_BYTES).decode().split()
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise click.UsageError(f"the token file {path}: {reason}") from None
