"""What a command line says reaches the API as it is said, and what that answers is told."""

from __future__ import annotations

import json

import pytest

from rq_broker.domain.jobs import Status
from tests import making
from tests.cli.served import Served
from tests.cli.verbs.conftest import Run


def test_a_zero_is_said(run: Run, type_: str) -> None:
    """An option that is 0 is no option that was left out: the API has it."""
    result = run("submit", type_, "--owner", "o", "--priority", "0", "--json")
    assert json.loads(result.stdout)["Priority"] == 0


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (("--expected", "0s"), "--expected"),
        (("--give-up-after", "0s"), "--give-up-after"),
        (("--hold-at-most", "0s"), "--hold-at-most"),
        (("--id", ""), "--id"),
        (("--callback", ""), "--callback"),
        (("--not-before", ""), "--not-before"),
        (("--after", ""), "--after"),
    ],
)
def test_what_the_api_refuses_is_refused(
    run: Run, type_: str, words: tuple[str, ...], option: str
) -> None:
    """A value that the API does not take ends the command as a wrong use; no job is made."""
    result = run("submit", type_, "--owner", "o", *words)
    assert (result.exit_code, option in result.stderr) == (2, True), result.output
    assert run("list", type_, "--json").stdout == ""


def test_run_says_an_empty_name(run: Run, type_: str) -> None:
    """A run of an empty name, as of a variable that is not set, is refused as well."""
    result = run("run", type_, "--id", "", "--owner", "o", "--", "true")
    assert (result.exit_code, "--name" in result.stderr) == (125, True), result.output


@pytest.mark.parametrize(
    "words",
    [
        ("move", "d", "--front", "--if-match", ""),
        ("destinations", "--reset", ""),
        ("destinations", "--requeue", ""),
    ],
)
def test_an_empty_option_is_not_none(run: Run, type_: str, words: tuple[str, ...]) -> None:
    """What an empty option would guard or choose is not done without it."""
    verb, *rest = words
    result = run(verb, type_, *rest)
    assert result.exit_code == 2, result.output


def test_an_empty_filter_finds_nothing(run: Run, api: Served, type_: str) -> None:
    """A list of an array or an aggregate without a name is not one of everything."""
    api.run(making.submit(api.broker, "d", type_))
    api.run(making.publish(api.broker, type_=type_, VCPU=1))
    assert run("hosts", type_, "--aggregate", "", "--json").stdout == ""
    assert '"d"' not in run("list", type_, "--array", "", "--json").stdout


def test_every_command_tells_a_warning(run: Run, type_: str) -> None:
    """A command on a type that has no host and no job says so, with --json too."""
    results = {
        verb: run(verb, type_, "--json", *more)
        for verb, more in (("pause", ()), ("resume", ()), ("policy", ("paused=false",)))
    }
    results["type show"] = run("type", "show", type_)
    results["submit"] = run("submit", type_, "--owner", "o", "--json")
    for verb, result in results.items():
        assert (result.exit_code, result.stderr.count("Warning: ")) == (0, 1), (verb, result.output)
        assert "Warning: " not in result.stdout, verb


def test_each_refusal_names_its_job(run: Run, api: Served, type_: str) -> None:
    """Of several jobs a refusal says which one is meant, and of one it need not."""
    api.run(making.bring(api.broker, Status.RUNNING, "r", type_))
    for words in (
        ("done", type_, "r", "gone"),
        ("done", type_, "--error", "e", "r", "gone"),
        ("withdraw", type_, "r", "gone"),
        ("show", type_, "gone", "away"),
    ):
        assert "Error: gone: " in run(*words).stderr, words
    assert "Error: gone: " not in run("withdraw", type_, "gone").stderr


@pytest.mark.parametrize(
    "words", [("policy", "T", "patience=abc"), ("submit", "a/b"), ("type", "show", "")]
)
def test_a_wrong_value_is_a_wrong_use(run: Run, type_: str, words: tuple[str, ...]) -> None:
    """A value that the broker refuses ends the command as one that the command refuses."""
    result = run(*(type_ if word == "T" else word for word in words))
    assert (result.exit_code, result.stderr.count("(invalid_request)")) == (2, 1), result.output
