"""`rq-broker token`: tokens made, listed, rotated and revoked on the command line."""

from __future__ import annotations

import re
from collections.abc import Callable
from unittest.mock import ANY

import pytest
from click.testing import Result
from redis.asyncio import Redis

from rq_broker.identity.tokens import is_well_formed
from rq_broker.store.embedded import Server
from tests.cli.running import invoke

Run = Callable[..., Result]


@pytest.fixture
async def run(redis_server: Server, real_client: Redis) -> Run:
    assert await real_client.ping()
    return lambda *words: invoke("token", *words, "--redis", redis_server.url)


def test_a_token_is_printed_alone(run: Run) -> None:
    """The standard output is the token and nothing else, so that a script can take it."""
    words = ("--role", "client", "--owner", "b", "--owner", "a", "--type", "vm", "--expires", "90d")
    made = run("create", *words, "--name", "ci")
    assert made.exit_code == 0, made.output
    assert is_well_formed(made.stdout.removesuffix("\n"))
    assert "made ci: client, expires 2" in made.stderr
    rotated = run("rotate", "ci", "--overlap", "1h")
    assert is_well_formed(rotated.stdout.strip())
    assert rotated.stdout != made.stdout


def test_the_list_shows_what_each_token_may(run: Run) -> None:
    """A line a token: its name, role, owners, types, times and state; no secret."""
    words = ("--owner", "b", "--owner", "a", "--callback-host", "hooks.lab.test")
    made = run("create", "--role", "client", *words, "--name", "ci")
    assert run("create", "--role", "operator", "--type", "vm", "--name", "op").exit_code == 0
    revoked = run("revoke", "ci")
    assert (revoked.exit_code, revoked.stdout) == (0, "")
    assert "revoked ci" in revoked.stderr
    header, *lines = run("list").stdout.splitlines()
    names = "NAME  ROLE  OWNERS  TYPES  CALLBACK HOSTS  CREATED  EXPIRES  STATE"
    assert re.split(" {2,}", header) == names.split("  ")
    rows = [line.split() for line in lines]
    assert [[*row[:5], *row[-2:]] for row in rows] == [
        ["ci", "client", "a,b", "all", "hooks.lab.test", ANY, "revoked"],
        ["op", "operator", "all", "vm", "all", "never", "valid"],
    ]
    assert made.stdout.strip() not in "".join(lines)


def test_the_list_shows_when_a_replaced_token_ends(run: Run) -> None:
    """EXPIRES of one that is accepted for an overlap is the end of that."""
    assert run("create", "--role", "admin", "--name", "me").exit_code == 0
    assert run("rotate", "me", "--overlap", "1h").exit_code == 0
    old, new = (line.split() for line in run("list").stdout.splitlines()[1:])
    assert (old[-3][:2], old[-1]) == ("20", "valid")  # a date
    assert new[-2:] == ["never", "valid"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("create", "--role", "client"), "a client needs --owner: the jobs"),
        (("create", "--role", "admin", "--type", "vm"), "is not limited: leave --type out"),
        (("create", "--role", "king"), "'king' is not one of"),
        (("create", "--role", "viewer", "--expires", "soon"), "not a span such as 90d"),
        (("create", "--role", "viewer", "--expires", "0s"), "0s is not above 0 and 3660d at most"),
        (("create",), "--role"),
        (("rotate", "nobody"), "no token of this name"),
        (("rotate", "nobody", "--expires", "3661d"), "3661d is not above 0 and 3660d at most"),
        (("revoke", "nobody"), "no token of this name"),
    ],
)
def test_what_no_token_can_be(run: Run, words: tuple[str, ...], sentence: str) -> None:
    """A wrong word ends in a sentence, and nothing is made."""
    result = run(*words)
    assert result.exit_code in (1, 2)
    assert sentence in result.output
    assert len(run("list").stdout.splitlines()) == 1
