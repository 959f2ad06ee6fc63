"""The commands that serve, and those for whoever operates the store: their options.

Each command imports what it runs only when it is called, so that its --help stays quick. What a
command does stands in the module of its name.
"""

from __future__ import annotations

import click

from rq_broker.cli.options import with_settings
from rq_broker.cli.provider_options import PROVIDER_OPTIONS
from rq_broker.cli.spans import LIFETIME, SPAN
from rq_broker.domain.identity import Role
from rq_broker.settings import Settings


@click.command()
@with_settings("redis", "secret_key_file", "min_replicas_acked", "host", "port", "workers",
               "keep_alive", "grace", "max_connections", "max_connections_per_address", "insecure",
               "tokens", "open_types", *PROVIDER_OPTIONS, "no_dashboard", "read_only",
               "allowed_hosts", "cors_origins",
               "forwarded_allow_ips", "root_path", "rate_limit", "owner_rate_limit",
               "admin_rate_limit", "wait_limit", "session_idle", "session_lifetime", "max_types",
               "callback_base", "callback_allow", "callback_deny", "callback_ports",
               "log_level", "log_format")  # fmt: skip
def api(settings: Settings) -> None:
    """Serve the HTTP API."""
    from rq_broker.cli.api import run

    run(settings)


@click.command()
@with_settings("redis", "secret_key_file", "types", "callback_base", "callback_allow",
               "callback_deny", "callback_ports", "timeout", "concurrency", "source",
               "metrics_port", "metrics_host", "log_level", "log_format")  # fmt: skip
def notifier(settings: Settings) -> None:
    """Grant capacity, send callbacks, expire jobs. Run one or several."""
    from rq_broker.cli.notifier import run

    run(settings)


@click.command()
@with_settings("host", "port", "keep_alive", "grace", "max_connections",
               "max_connections_per_address", "insecure", "allowed_hosts", "cors_origins",
               "forwarded_allow_ips", "root_path", "no_dashboard", "read_only",
               "admin_rate_limit", "max_types", "source",
               "log_level", "log_format")  # fmt: skip
def dev(settings: Settings) -> None:
    """Run API, notifier and a store in one process.

    The store is a private redis-server in the directory .rq-broker, or a valkey-server, such as
    that of the extra `embedded`; memory where there is neither. Callbacks without a scheme, such as
    "abc", arrive at /inbox/.
    """
    from rq_broker.cli.dev import run

    run(settings)


@click.command("check-source")
@click.argument("file", metavar="[FILE.toml]", default="sources.toml")
def check_source(file: str) -> None:
    """Read each source of a file (sources.toml) as a notifier would, and tell what it sees.

    Nothing is stored, and Redis is not asked. Exits with 1 if a source has no host or may not read
    something, with 2 if one cannot be read at all or the file is wrong.
    """
    from rq_broker.cli.check_source import run

    run(file)


@click.command()
@with_settings("redis", "types", "sample", "resume", "repair", "metrics_file")
def audit(settings: Settings) -> None:
    """Compare every index with its jobs.

    Prints one line for each finding, and "clean" if there is no fault. Exits with 1 if one of them
    is a fault, not a note, with 3 if Redis cannot be read. With --repair it mends what can be
    known, and exits with 1 for what is left.
    """
    from rq_broker.cli.audit import run

    run(settings)


@click.command("encrypt-keys")
@with_settings("redis", "secret_key_file", "types")
def encrypt_keys(settings: Settings) -> None:
    """Encrypt the signing keys that Redis has.

    Those that are stored as they are, or encrypted with another key than the first of the file, are
    encrypted with that one. It may be run at any time, and again.
    """
    from rq_broker.cli.encrypt_keys import run

    run(settings)


@click.command()
@with_settings("redis", "types", "since", "follow", "as_json")
def log(settings: Settings) -> None:
    """Print who changed what, the oldest change first.

    Without --type the logs of all types that there are, and that of what belongs to no type.
    """
    from rq_broker.cli.log import run

    run(settings)


@click.command()
@with_settings("role", "types", "user")
def acl(settings: Settings) -> None:
    """Print the line that gives a Redis user the rights of a role.

    Replace PASSWORD, and give the line to redis-cli on each node.
    """
    from rq_broker.cli.acl import run

    run(settings)


@click.group()
def token() -> None:
    """Make, list, rotate and revoke the tokens that `api --tokens` asks for."""


@token.command("create")
@click.option(
    "--role",
    required=True,
    type=click.Choice([role.value for role in Role]),
    help="What it may do.",
)
@click.option("--owner", "owners", multiple=True, metavar="OWNER",
              help="Whose jobs are its own, for a client. May be repeated.")  # fmt: skip
@click.option("--type", "types", multiple=True, metavar="TYPE", show_default="every type",
              help="Type that it may use. May be repeated.")  # fmt: skip
@click.option("--callback-host", "callback_hosts", multiple=True, metavar="HOST",
              show_default="all that the API accepts",
              help="Host that its callbacks may name. May be repeated.")  # fmt: skip
@click.option(
    "--expires", type=LIFETIME, show_default="never", help="Until it expires, as 90d or 12h."
)
@click.option("--name", show_default="the role and a random word", help="Its name, for you.")
@with_settings("redis")
def create_token(settings: Settings, **fields: object) -> None:
    """Make a token and print it; it is shown this once."""
    from rq_broker.cli.token import create

    create(settings, **fields)


@token.command("list")
@with_settings("redis")
def list_tokens(settings: Settings) -> None:
    """List the tokens, those that ended within the last 30 days too."""
    from rq_broker.cli.token import show

    show(settings)


@token.command("rotate")
@click.argument("name")
@click.option("--expires", type=LIFETIME, show_default="as long as the old one lived",
              help="Until the new one expires, as 90d or 12h.")  # fmt: skip
@click.option("--overlap", type=SPAN, default=0.0, show_default="refuse it at once",
              help="For how long the old one is still accepted, as 1h.")  # fmt: skip
@with_settings("redis")
def rotate_token(settings: Settings, name: str, expires: float | None, overlap: float) -> None:
    """Replace a token by one that may do the same, and print it."""
    from rq_broker.cli.token import rotate

    rotate(settings, name, expires, overlap)


@token.command("revoke")
@click.argument("name")
@with_settings("redis")
def revoke_token(settings: Settings, name: str) -> None:
    """Refuse a token from now on, and those that it replaced."""
    from rq_broker.cli.token import revoke

    revoke(settings, name)


@click.command()
@click.argument("verb", required=False)
def scripts(verb: str | None) -> None:
    """Print the Lua scripts for other languages.

    Without VERB: the contract and the SHA of every script. With VERB, such as "submit": the whole
    source of that script.
    """
    from rq_broker.cli.scripts import run

    run(verb)


@click.command("import")
@click.argument("file", metavar="OLD.db")
@with_settings("redis", "callback_base", "dry_run", "again")
def import_(settings: Settings, file: str) -> None:
    """Put the waiting jobs of the original service's SQLite database in the queue.

    Their order and priorities stay. Rows that are deleted, that run or have ended are left out. A
    run that was cut off goes on where it was. Prints each row that is not imported, and exits with
    1 if there is one, with 3 without Redis.
    """
    from rq_broker.cli.importing import run

    run(settings, file)
