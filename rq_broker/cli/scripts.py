"""`rq-broker scripts`: the Lua scripts, for services in other languages."""

from __future__ import annotations

import click

from rq_broker.store.scripts import SCRIPTS


def run(verb: str | None) -> None:
    """Print the source of one script, or every script's SHA and contract."""
    if verb is None:
        for script in SCRIPTS.values():
            click.echo(f"{script.name} {script.sha}\n{script.header}")
    elif verb in SCRIPTS:
        click.echo(SCRIPTS[verb].source, nl=False)
    else:
        raise click.UsageError(f"no script is named '{verb}'; they are {', '.join(SCRIPTS)}")
