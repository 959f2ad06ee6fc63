"""Refusals name the options of the command, not the fields of the API that these set."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from tests.cli.verbs.conftest import Run

TOO_MUCH = "9999999999999999"
SAID: Sequence[tuple[str, str]] = (
    ("submit TYPE --array 10001", "--array must be a whole number from 1 to 10000"),
    ("submit TYPE --at-once 3", "--at-once goes with --array"),
    ("submit TYPE --after-any", "--after-any goes with --after"),
    (
        "submit TYPE --array 2 --callback http://10.0.0.9/x",
        "--callback must contain {n} with --arr",
    ),
    ("submit TYPE --id a/b", "--id must not contain '/'"),
    ("submit TYPE --owner *", "--owner must not be '*'"),
    ("submit TYPE --after a/b", "--after must not contain '/'"),
    ("submit TYPE --after nope", "--after names nope"),
    ("submit TYPE --not-before soon", "--not-before must be a time"),
    (f"submit TYPE --need VCPU={TOO_MUCH}", "--need VCPU must be a whole number"),
    ("submit TYPE --need a/b=1", "--need: the resource name"),
    ("submit TYPE --need a=1 --need b=1 --count 1000", "--need and --count ask for 1001 instances"),
    ("submit TYPE --require A --forbid A", "--require and --forbid both name"),
    ("submit TYPE --in a\tb", "--in must not contain control"),
    ("run TYPE --owner * -- true", "--owner must not be '*'"),
    (f"host set TYPE h VCPU=1 --max-unit VCPU={TOO_MUCH}", "--max-unit VCPU must be"),
    (f"move TYPE j --to {TOO_MUCH}9", "--to must be a whole number"),
    ("events TYPE --after x", "--after must be the id of an event"),
    ("destinations TYPE --requeue ", "--requeue must not be empty"),
)


@pytest.mark.parametrize(("words", "said"), SAID, ids=[words for words, _ in SAID])
def test_a_refusal_names_the_option(run: Run, type_: str, words: str, said: str) -> None:
    """What an option set is called by the option: the user has typed no field."""
    result = run(*words.replace("TYPE", type_).split(" "))
    assert result.exit_code
    assert f"Error: {said}" in result.stderr.replace("rq-broker: ", "Error: ")


def test_a_field_of_a_file_is_named(run: Run, type_: str) -> None:
    """What the file of --data has wrong is called as the file calls it."""
    wrong = json.dumps({"host_aggregate": 5})
    result = run("submit", type_, "--data", "-", input=wrong)
    assert "--data host_aggregate must be a string" in result.stderr


def test_a_job_is_the_users_without_a_token(
    run: Run, type_: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing says whose a job is, it is the user's, with `submit` as with `run`."""
    monkeypatch.setattr("getpass.getuser", lambda: "ann")
    assert json.loads(run("submit", type_, "--json").stdout)["OwnerID"] == "ann"
    refusal = run("submit", type_, "--token", "anything").stderr
    assert "--owner is required" in refusal  # whose token it is, the API knows
