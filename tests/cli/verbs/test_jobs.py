"""The commands on jobs: what they send, and what they say."""

from __future__ import annotations

import json

import pytest

from rq_broker.cli.verbs import acting
from rq_broker.domain.jobs import Status
from rq_broker.domain.offers import OFFER
from tests import making
from tests.cli.served import Served
from tests.cli.terminal import on_terminal
from tests.cli.verbs.conftest import Run

SUBMIT = ("--owner", "o", "--callback", "http://10.0.0.9/cb")


def test_a_demand_by_options(run: Run, type_: str) -> None:
    """What a job needs, and its terms, can be said by options alone."""
    demand = ("--need", "GPU=1", "--need", "VCPU=4,Memory=8192", "--count", "3", "--in", "rack",
              "--require", "SSD", "--forbid", "HDD", "--spread")  # fmt: skip
    terms = ("--expected", "2h", "--give-up-after", "1d", "--hold-at-most", "30m", "--priority",
             "-5", "--not-before", "2099-01-01T00:00:00Z")  # fmt: skip
    result = run("submit", type_, *demand, *terms, *SUBMIT, "--json")
    job = json.loads(result.stdout)
    assert json.loads(job["Data"]) == {
        "instances": [{"GPU": 1}, {"VCPU": 4, "Memory": 8192, "count": 3}],
        "host_aggregate": "rack",
        "require": ["SSD"],
        "forbid": ["HDD"],
        "spread": True,
    }
    assert (job["Priority"], job["Expected"]) == (-5, 7200)
    assert (job["GiveUpAfter"], job["HoldAtMost"]) == (86400, 1800)
    assert job["NotBefore"].startswith("2099")


def test_a_demand_from_the_input(run: Run, type_: str) -> None:
    """The whole demand may come as JSON; what is wrong with it is a wrong use."""
    data = {"instances": [{"VCPU": 1}], "note": "mine"}
    words = ("submit", type_, *SUBMIT, "--id", "d", "--data", "-")
    result = run(*words, "--json", input=json.dumps(data))
    assert json.loads(json.loads(result.stdout)["Data"]) == data
    for text, sentence in (("{", "--data:"), ("[]", "must be a JSON object")):
        result = run(*words, input=text)
        assert (result.exit_code, sentence in result.stderr) == (2, True)
    assert "leave --need" in run(*words, "--spread", input="{}").stderr


def test_a_name_is_made(run: Run, type_: str) -> None:
    """Without --id each submit has a name of its own, which is printed alone."""
    words = ("submit", type_, "--owner", "o")
    names = {run(*words, "--callback", f"http://10.0.0.9/{n}").stdout for n in range(2)}
    assert len(names) == 2
    assert all(len(name.split()) == 1 for name in names)


def test_a_warning_is_no_output(run: Run, api: Served, type_: str) -> None:
    """That no host could ever hold a job is said on standard error, so that scripts can go on."""
    api.run(making.publish(api.broker, type_=type_, VCPU=1))
    result = run("submit", type_, "--need", "VCPU=2", "--id", "d", *SUBMIT)
    assert (result.exit_code, result.stdout) == (0, "d\n")
    assert result.stderr.startswith("Warning: no host could ever hold this")


@pytest.mark.parametrize("need", ["VCPU", "VCPU=x", "VCPU=1,VCPU=2", "=1", "VCPU=-1"])
def test_an_amount_that_is_none(run: Run, type_: str, need: str) -> None:
    """An amount that cannot be read is a wrong use."""
    assert run("submit", type_, "--need", need).exit_code == 2


def test_every_job_is_tried(run: Run, api: Served, type_: str) -> None:
    """A job that is not there does not keep the others from it; the first refusal decides."""
    for name in ("a", "b"):
        api.run(making.submit(api.broker, name, type_))
    result = run("withdraw", type_, "a", "nope", "b", "--json")
    assert result.exit_code == 4
    assert [json.loads(line)["request_id"] for line in result.stdout.splitlines()] == ["a", "b"]
    assert result.stderr.count("(job_not_found)") == 1
    assert run("list", type_, "--json").stdout == ""


def test_ended_jobs_are_listed_last(run: Run, api: Served, type_: str) -> None:
    """A job that ended had its place first, and stands below those that wait."""
    api.run(making.bring(api.broker, Status.DONE, "old", type_))
    api.run(making.submit(api.broker, "new", type_))
    for words, names in (((), ["new", "old"]), (("--limit", "1"), ["new"])):
        lines = run("list", type_, "--json", *words).stdout.splitlines()
        assert [json.loads(line)["RequestID"] for line in lines] == names


def test_many_jobs_show_a_bar(
    run: Run, api: Served, type_: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal a command on many jobs shows how far it is; in a pipe it does not."""
    names = [f"j{number}" for number in range(12)]
    for name in names:
        api.run(making.submit(api.broker, name, type_))
    monkeypatch.setattr(acting, "AT_ONCE", 3)
    server = ("--server", api.url)
    shown = on_terminal("withdraw", type_, *names[:6], "--yes", *server)
    assert shown.exit_code == 0
    assert "100%" in shown.screen
    assert "%" not in run("withdraw", type_, *names[6:]).output


def test_a_job_ends_in_error(run: Run, api: Served, type_: str) -> None:
    """With --error a job ends in error, for that reason."""
    api.run(making.bring(api.broker, Status.RUNNING, type_=type_))
    assert run("done", type_, "d", "--error", "it burnt").exit_code == 0
    assert "it burnt" in run("show", type_, "d").stdout
    assert "it burnt" in run("why", type_, "d").stdout


def test_a_place_is_one(run: Run, type_: str) -> None:
    """A move names exactly one place."""
    for words in ((), ("--front", "--back"), ("--front", "--before", "x"), ("--to", "0")):
        assert run("move", type_, "d", *words).exit_code == 2


@pytest.mark.parametrize(
    ("words", "order"),
    [
        ("d --before b", "adbc"),
        ("a --after c", "bcad"),
        ("a --back", "bcda"),
        ("c --front", "cabd"),
        ("b --after a", "abcd"),
        ("a --before d", "bcad"),
        ("d --to 2", "adbc"),
        ("a --to 9", "bcda"),
    ],
)
def test_a_dry_run_forecasts_the_move(
    run: Run, api: Served, type_: str, words: str, order: str
) -> None:
    """The move that --dry-run forecasts is the one that is made without it."""
    for name in "abcd":
        api.run(making.submit(api.broker, name, type_, shape=making.shape({"VCPU": 1})))
    move, *place = words.split()
    dry = run("move", type_, move, *place, "--dry-run", "--json")
    assert dry.exit_code == 0, dry.output
    assert api.run(making.queue(api.broker, type_)) == list("abcd")
    table = run("move", type_, move, *place, "--dry-run").stdout
    assert table.split("\n", 1)[0].split() == ["JOB", "STARTS", "IN", "THEN", "IN", "CHANGE"]
    (told,) = map(json.loads, dry.stdout.splitlines())
    assert told["position"] == order.index(move) + 1
    moved = run("move", type_, move, *place, "--if-match", told["line"], "--json")
    assert json.loads(moved.stdout)["Position"] == order.index(move) + 1
    assert "".join(api.run(making.queue(api.broker, type_))) == order


def test_a_dry_run_to_where_the_job_is(run: Run, api: Served, type_: str) -> None:
    """It says so, instead of a move from a place to the same place."""
    api.run(making.submit(api.broker, "a", type_))
    said = run("move", type_, "a", "--front", "--dry-run").stdout.splitlines()
    assert said[-1] == "a is at place 1 already: nothing would change."


def test_a_dry_run_beside_a_job_that_runs(run: Run, api: Served, type_: str) -> None:
    """A job is put next to a waiting one only."""
    api.run(making.bring(api.broker, Status.RUNNING, type_=type_))
    api.run(making.submit(api.broker, "w", type_))
    result = run("move", type_, "w", "--before", "d", "--dry-run")
    assert (result.exit_code, "d is running, not queued" in result.stderr) == (6, True)


def test_a_move_that_would_do_something_else_is_refused(run: Run, api: Served, type_: str) -> None:
    """With the line of a dry run a job moves only as that told."""
    for number, name in enumerate("abc"):
        api.run(making.submit(api.broker, name, type_, priority=number * 10))
    dry = run("move", type_, "c", "--to", "2", "--dry-run")
    *_, line = dry.stdout.split()
    assert "c would go from place 3 to 2." in dry.stdout
    assert "Of the jobs between, 1 has no known start." in dry.stdout
    api.run(making.submit(api.broker, "n", type_, priority=15))
    result = run("move", type_, "c", "--to", "2", "--if-match", line)
    assert (result.exit_code, "(changed_meanwhile)" in result.stderr) == (6, True)
    assert api.run(making.queue(api.broker, type_)) == ["a", "b", "n", "c"]


def test_several_jobs_go_to_one_end(
    run: Run, api: Served, type_: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They stand there in the order given, however many calls it takes; what is refused is told."""
    monkeypatch.setattr(acting, "AT_ONCE", 2)
    for name in "abcdefg":
        api.run(making.submit(api.broker, name, type_))
    assert run("move", type_, *"edcba", "--front").exit_code == 0
    assert "".join(api.run(making.queue(api.broker, type_))) == "edcbafg"
    result = run("move", type_, *"ed", "x", *"c", "--back")
    assert (result.exit_code, result.stderr.count("(job_not_found)")) == (4, 1)
    assert "".join(api.run(making.queue(api.broker, type_))) == "bafgedc"
    assert run("move", type_, *"ab", "--to", "1").exit_code == 2


def test_a_type_that_is_misspelt_is_said_so(run: Run, type_: str) -> None:
    """A list without a job says on the side that there is no such type, and which is like it."""
    named = f"bench-{type_}"
    run("submit", named, "--need", "VCPU=1", *SUBMIT)
    listed = run("list", f"bemch-{type_}", "--json")
    assert (listed.stdout, listed.exit_code) == ("", 0)
    assert f"there is no type bemch-{type_} yet; did you mean {named}" in listed.stderr
    assert "no type" not in run("list", named, "--status", "done").stderr


def test_an_offer_is_taken(run: Run, api: Served, type_: str) -> None:
    """A job without a callback is told until when and how it is taken, and `take` takes it."""
    api.run(making.publish(api.broker, type_=type_, VCPU=1))
    assert run("submit", type_, "--id", "d", "--need", "VCPU=1").exit_code == 0
    job = api.run(api.broker.read(type_, "d"))
    early = run("take", type_, "d")
    assert (early.exit_code, "it is queued: there is no offer" in early.stderr) == (6, True)
    offered = making.shape(owner=job.owner_id, destination=OFFER)
    api.run(making.grant(api.broker, job, offered))
    told = " ".join(run("why", type_, "d").stdout.split())
    assert "offered for " in told
    assert told.endswith(f"to take it rq-broker take {type_} d")
    assert "on h1; take it within " in run("list", type_).stdout
    for _ in range(2):  # the second time it renews
        assert run("take", type_, "d").stdout == "h1\n"
    assert api.run(api.broker.read(type_, "d")).status is Status.RUNNING
    assert "offered" not in run("why", type_, "d").stdout


def test_a_queued_job_with_a_callback_is_not_taken(run: Run, api: Served, type_: str) -> None:
    """Such a job may be `running` over HTTP, with nothing held: `take` does not do that."""
    api.run(making.submit(api.broker, "d", type_))
    assert run("take", type_, "d").exit_code == 6
    assert api.run(api.broker.read(type_, "d")).status is Status.QUEUED


def _sweep(run: Run, api: Served, type_: str) -> None:
    """Submit an array of three, two of them granted."""
    api.run(making.publish(api.broker, type_=type_, VCPU=2))
    words = ("--id", "s", "--array", "3", "--need", "VCPU=1")
    assert run("submit", type_, *words).exit_code == 0
    for name in ("s[0]", "s[1]"):
        job = api.run(api.broker.read(type_, name))
        assert api.run(making.grant(api.broker, job)) is not None


@pytest.mark.parametrize("reason", [(), ("--error", "burnt")])
def test_an_array_is_ended_as_a_whole(
    run: Run, api: Served, type_: str, reason: tuple[str, ...]
) -> None:
    """`done` takes the name of an array, for all its jobs; they are told one by one."""
    _sweep(run, api, type_)
    taken = run("take", type_, "s[*]", "--json")
    assert len(taken.stdout.splitlines()) == 2, taken.output
    ended = run("done", type_, "s[*]", *reason, "--json")
    told = [json.loads(line) for line in ended.stdout.splitlines()]
    assert sorted(each["request_id"] for each in told) == ["s[0]", "s[1]", "s[2]"], ended.output
    status = "error" if reason else "done"
    assert run("why", type_, "s[*]").stdout == f"status  3 {status}\n"
    assert run("done", type_, "s[*]", *reason).exit_code == 0  # none is left
    assert run("done", type_, "t[*]", *reason).exit_code == 4
    assert "none of its jobs is granted" in run("take", type_, "s[*]").stderr


def test_an_array_is_watched(run: Run, api: Served, type_: str) -> None:
    """A watch of an array tells how many of its jobs have each status, until all have ended."""
    _sweep(run, api, type_)
    seen = run("watch", type_, "s[*]", "--until", "queued,granted")
    assert " 1 queued, 2 granted" in seen.stdout
    assert seen.exit_code == 0
    run("done", type_, "s[*]")
    assert run("watch", type_, "s[*]").exit_code == 0
    assert run("watch", type_, "s[*]", "--until", "error").exit_code == 1
