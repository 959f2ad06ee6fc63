"""`rq-broker acl`: the line that gives a Redis user the rights of a role."""

from __future__ import annotations

import click

from rq_broker.settings import Settings
from rq_broker.store.acl import acl_rules

_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_:{}*@+~&|>.")
"""Characters that redis-cli and an ACL file read as they stand."""


def run(settings: Settings) -> None:
    """Print `ACL SETUSER …` for redis-cli; the password is the operator's to fill in."""
    user = settings.user or f"rq-broker-{settings.role}"
    rules = ["reset", "on", ">PASSWORD", *acl_rules(settings.role, settings.types)]
    click.echo(" ".join(_quoted(word) for word in ("ACL", "SETUSER", user, *rules)))


def _quoted(word: str) -> str:
    """Quote a word as redis-cli reads it, where it holds more than plain characters."""
    if _PLAIN.issuperset(word):
        return word
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
