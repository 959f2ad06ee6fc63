"""The rules of a hold, without any I/O: which calls it makes, and what ends it."""

from __future__ import annotations

from typing import Any, TypeVar

import httpx
import pytest

from rq_broker.client import HoldTimeout, NotGranted, calls
from rq_broker.client.call import Call
from rq_broker.client.flows import Flow, Pause
from rq_broker.client.grants import Grant, HoldLost
from rq_broker.client.holding import acquire, drop, give_back, keep, wait
from rq_broker.client.wishes import Wish, wish
from rq_broker.domain import errors

Result = TypeVar("Result")
Step = tuple[str, Any]
"""What a call is expected to be, and what it returns or raises."""


def job(status: str, fence: int = 7, **fields: Any) -> dict[str, Any]:
    shown = {"Status": status, "Fence": fence, "OwnerID": "o", "Hosts": ["h", "h"], **fields}
    return {"RequestID": "r", "Error": None, **shown}


def spelled(call: Call[Any]) -> str:
    """Return what a call does, in a few words."""
    body = call.body if isinstance(call.body, dict) else {}
    query = dict(call.query or {})
    words = [call.method, call.path, body.get("status", ""), query.get("wait", "")]
    return " ".join(word for word in words if word)


def play(flow: Flow[Result], *script: Step, pauses: list[float] | None = None) -> Result:
    """Carry out a flow with scripted answers; pauses take no time."""
    steps = list(script)
    outcome: Any = None
    while True:
        try:
            made = flow.throw(outcome) if isinstance(outcome, Exception) else flow.send(outcome)
        except StopIteration as end:
            assert not steps, f"it ended before {steps}"
            result: Result = end.value
            return result
        outcome = None
        if isinstance(made, Pause):
            if pauses is not None:
                pauses.append(made.seconds)
            continue
        assert steps, f"it went on with {spelled(made)}"
        expected, outcome = steps.pop(0)
        assert spelled(made) == expected


FIRST = "GET /v1/vm/r 1"
READ, TAKE, DONE = "GET /v1/vm/r 30", "POST /v1/vm/r running", "POST /v1/vm/r done"
POLICY: Step = ("GET /types/vm", {"policy": {"running": 900.0}})


def a_wish(**options: Any) -> Wish:
    return wish("vm", {"VCPU": 4}, request_id="r", **options)


def a_grant(hold_at_most: float = 240.0) -> Grant:
    return Grant("vm", "r", "o", 7, ("h", "h"), job("granted"), hold_at_most, 0.0)


def test_what_is_submitted() -> None:
    """A need is one instance or a list; each hold has a name and a key of its own."""
    one, other = wish("vm", {"VCPU": 4}), wish("vm", [{"VCPU": 4}, {"VCPU": 1}], expected=60.0)
    assert one.job["data"] == {"instances": [{"VCPU": 4}]}
    assert other.job["data"] == {"instances": [{"VCPU": 4}, {"VCPU": 1}]}
    assert other.job["expected"] == 60.0
    assert one.name != other.name
    assert one.key != other.key
    named = wish("vm", {}, request_id="r", data={"require": ["SSD"]})
    assert named.job["data"] == {"require": ["SSD"], "instances": [{}]}


def test_a_grant_is_taken_once_it_is_there() -> None:
    """It waits, takes the grant with its fence, and knows how long the broker keeps it."""
    seen: list[Any] = []
    grant = play(
        acquire(a_wish(on_wait=seen.append)),
        ("POST /v1/vm", job("queued", 0)),
        (FIRST, job("queued", 0, Position=2)),
        (READ, job("queued", 0, Position=1)),
        (READ, job("granted")),
        (TAKE, None),
        POLICY,
    )
    assert (grant.fence, grant.hosts, grant.hold_at_most) == (7, ("h", "h"), 600.0)
    assert [waiting["Position"] for waiting in seen] == [2, 1]


@pytest.mark.parametrize("refusal", [errors.StaleFence("x"), errors.ImpossibleMove("x")])
def test_an_offer_that_was_missed_is_waited_for_again(refusal: Exception) -> None:
    """Whoever takes a grant too late waits for the next one."""
    steps = (
        (FIRST, job("granted", 3)),
        (TAKE, refusal),
        (READ, job("granted")),
        (TAKE, None),
        POLICY,
    )
    grant = play(acquire(a_wish()), ("POST /v1/vm", job("queued", 0)), *steps)
    assert grant.fence == 7


@pytest.mark.parametrize(
    ("read", "sentence"),
    [
        (job("error", Error="gave_up"), "in error: gave_up"),
        (job("done"), "is done"),
        (errors.JobNotFound("x"), "was withdrawn"),
    ],
    ids=str,
)
def test_a_job_that_will_not_be_granted(read: Any, sentence: str) -> None:
    """One that failed, ended or was withdrawn while it waited is told with its job."""
    with pytest.raises(NotGranted, match=sentence) as raised:
        play(acquire(a_wish()), ("POST /v1/vm", job("queued", 0)), (FIRST, read))
    assert raised.value.job


def test_the_wait_has_an_end() -> None:
    """After `timeout` the hold is given up, with the job as it was."""
    waiting = job("queued", 0) | {"Reason": "needs GPU 8"}
    sentence = "the job r was not granted within 0 s: needs GPU 8"
    with pytest.raises(HoldTimeout, match=sentence) as raised:
        play(acquire(a_wish(timeout=0.0)), ("POST /v1/vm", waiting), ("GET /v1/vm/r", waiting))
    assert isinstance(raised.value, TimeoutError)


def test_wait_takes_one_status_as_a_word() -> None:
    """A status need not be put into a list, and is not taken for its letters."""
    assert (calls.read("vm", "r", wait=1, until="done").query or {})["until"] == "done"
    steps = [("GET /v1/vm/r 30", job("done", 1))]
    assert play(wait("vm", "r", until="done"), *steps)["Status"] == "done"


def test_wait_returns_the_job_at_a_status_or_at_its_end() -> None:
    """`wait` looks until a status is there; where too many wait already, without waiting."""
    many = errors.RateLimited("too many waits")
    pauses: list[float] = []
    steps = (READ, many), ("GET /v1/vm/r", job("running")), (READ, job("done"))
    assert play(wait("vm", "r", until=["done"]), *steps, pauses=pauses)["Status"] == "done"
    assert len(pauses) == 1
    ended = play(wait("vm", "r", timeout=0.0), ("GET /v1/vm/r", job("queued")))
    assert ended["Status"] == "queued"


@pytest.mark.parametrize(
    ("read", "sentence"),
    [
        (job("running", 8), "fence has moved on"),
        (job("queued"), "is queued"),
        (job("error", Error="running time ended"), "running time ended"),
        (errors.JobNotFound("x"), "withdrew"),
    ],
    ids=str,
)
def test_a_loss_is_seen_at_once(read: Any, sentence: str) -> None:
    """Whatever ends a hold ends the waiting read, which tells it."""
    running: Step = (READ, job("running"))
    lost = play(keep(a_grant()), running, (TAKE, None), (READ, read))
    assert sentence in str(lost)


@pytest.mark.parametrize(
    "refusal", [errors.StaleFence("x"), errors.ImpossibleMove("x"), errors.JobNotFound("x")]
)
def test_a_renewal_that_is_refused_is_a_loss(refusal: Exception) -> None:
    """What happens between the read and the renewal is seen by the renewal: its fence tells."""
    assert play(keep(a_grant()), (READ, job("running")), (TAKE, refusal))


def test_a_broker_that_does_not_answer_ends_no_hold() -> None:
    """Renewals go on whatever goes wrong meanwhile, and the trouble is told and its end."""
    grant, told = a_grant(), list[Any]()
    trouble: list[Exception] = [
        httpx.ConnectError("x"),
        errors.Unavailable("x"),
        errors.TokenExpired("x"),
    ]
    steps: list[Step] = [(READ, error) for error in trouble]
    pauses: list[float] = []
    flow = keep(grant, told.append)
    lost = play(
        flow, *steps, (READ, job("running")), (TAKE, None), (READ, job("done")), pauses=pauses
    )
    assert told == [*trouble, None]
    assert grant.renewed > 0
    assert isinstance(lost, HoldLost)


def test_renewals_come_long_before_the_end() -> None:
    """A short hold is renewed more often: eight times before it would end."""
    play(keep(a_grant(80.0)), ("GET /v1/vm/r 10", job("done")))
    play(keep(a_grant(8000.0)), (READ, job("done")))


def test_giving_back() -> None:
    """It says `done`, or `error` with the text; a loss that shows then is noted."""
    play(give_back(a_grant()), (DONE, None))
    failed = a_grant()
    failed.error = "x" * 2000
    call = next(give_back(failed))
    assert isinstance(call, Call)
    assert call.body == {"status": "error", "fence": 7, "error": "x" * 1000}
    for refusal in (errors.JobNotFound("x"), errors.StaleFence("x")):
        grant = a_grant()
        play(give_back(grant), (DONE, refusal))
        with pytest.raises(HoldLost):
            grant.check()
        play(give_back(grant))  # nothing is left to give back


def test_nobody_elses_job_is_withdrawn() -> None:
    """A job is withdrawn only if it is this hold's: a name that was refused is another's."""
    gone: Step = ("DELETE /v1/vm/r", None)
    asked = a_wish()
    play(drop(asked))  # nothing was sent
    with pytest.raises(errors.DuplicateRequestId):
        play(acquire(asked), ("POST /v1/vm", errors.DuplicateRequestId("x")))
    play(drop(asked))
    unknown = a_wish()
    with pytest.raises(httpx.ReadError):
        play(acquire(unknown), ("POST /v1/vm", httpx.ReadError("x")))
    play(drop(unknown), ("POST /v1/vm", errors.DuplicateRequestId("x")))
    play(drop(unknown))
    lost = a_wish()
    with pytest.raises(httpx.ReadError):
        play(acquire(lost), ("POST /v1/vm", httpx.ReadError("x")))
    play(drop(lost), ("POST /v1/vm", job("queued")), gone)
