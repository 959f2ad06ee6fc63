"""The command line; `main` is what the console script `rq-broker` calls."""

from rq_broker.cli.commands import main

__all__ = ["main"]
