"""`rq-broker why`: the explanation in words."""

from __future__ import annotations

from typing import Any

import pytest

from rq_broker.cli.verbs.explaining import MOST_NAMED, _holding, _waiting
from rq_broker.domain.jobs import Status
from tests import making
from tests.cli.served import Served
from tests.cli.verbs.conftest import Run

HOLDER: dict[str, Any] = {
    "request_id": "r1", "owner_id": "lab", "seconds": 90, "overdue": True, "host": "h1",
    "resource": "VCPU", "amount": 6,
}  # fmt: skip
WAITING: dict[str, Any] = {
    "position": 3,
    "jobs_of_its_shape_before": 1,
    "reason": {"code": "no_fit", "text": "needs VCPU 8"},
    "shortfalls": [
        {"host": "h1", "resource": "VCPU", "needed": 8, "free": 2},
        {"host": "h1", "resource": "Memory", "needed": 2048, "free": 0},
    ],
    "holders": [
        HOLDER,
        {"request_id": None, "owner_id": None, "seconds": 5, "overdue": False, "host": "h1",
         "resource": "VCPU", "amount": 1},
    ],
    "used_by_others": [{"host": "h1", "resource": "VCPU", "amount": 7}],
    "reservation": {"start": 1e9, "waits_for": [{"request_id": "r1"}, {"request_id": None}]},
    "passed_since": 1e9,
    "passed_by": ["r7"],
    "passed_by_others": 2,
    "largest": {"instances": 0, "percent": 40, "scaled": [{"VCPU": 3}, {"VCPU": 3}]},
    "eta": {"p50": 60, "p90": 120, "reason": None},
    "eta_accuracy": {"within_p90": 9, "beyond_p90": 1},
}  # fmt: skip


def words(**changes: Any) -> str:
    return "\n".join(f"{name}: {text}" for name, text in _waiting({**WAITING, **changes}))


def test_why_a_job_waits() -> None:
    """Reason, place, forecast, what is missing where, and who holds it, each in a line."""
    text = words()
    for line in (
        "reason: needs VCPU 8",
        "place: 3 in line; 1 of those before it need the same",
        "starts in: 1m–2m (of 10 forecasts 9 were kept)",
        "on h1: VCPU 8, 2 GB needed; VCPU 2, 0 MB free",
        "held by: r1 of lab: VCPU 6 on h1, for 1m30s, longer than it said",
        "held by: a job of another owner: VCPU 1 on h1, for 5s",
        "used by others: VCPU 7 on h1, by no job of this type",
        "passed by: r7, 2 others, since 2001-09-",
        "would fit now: 2 × VCPU 3, 40 % of it",
    ):
        assert line in text
    assert ", when r1, a job of another owner ended" in text


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"reason": None}, "reason: it fits, and is granted at once"),
        ({"position": None}, "place: beside the line, until its own terms are met"),
        ({"jobs_of_its_shape_before": 0}, "place: 3 in line\n"),
        ({"eta": {"p50": None, "p90": None, "reason": "too few"}}, "starts in: not known: too few"),
        (
            {"eta": {"p50": None, "p90": None, "reason": "too big", "why": {"code": "impossible"}}},
            "starts in: never: too big",
        ),
        ({"eta": {"p50": 60, "p90": None, "reason": None}}, "starts in: 1m–later"),
        (
            {"largest": {"instances": 2, "percent": 1, "scaled": [{"VCPU": 1, "Memory": 9}]}},
            "would fit now: the first 2 of its instances, or VCPU 1, 9 MB, 1 % of it\n",
        ),
        (
            {"largest": None, "hosts": ["h1"], "shortfalls": []},
            "would fit now: all of it; only what the reason says holds it back\n",
        ),
        ({"eta_accuracy": {"within_p90": 0, "beyond_p90": 0}}, "starts in: 1m–2m\n"),
        (
            {
                "holders": [
                    {**WAITING["holders"][0], "host": f"h{n}"} for n in range(MOST_NAMED + 3)
                ]
            },
            "held by: 3 more",
        ),
    ],
)
def test_what_else_may_be_said(changes: dict[str, Any], line: str) -> None:
    """Each part says what it is where there is less to say, or too much."""
    assert line in words(**changes) + "\n"


def test_what_is_not_there_is_not_said() -> None:
    """Without a reservation, passers and a part that fits, nothing is said of them."""
    text = words(reservation=None, passed_by=[], passed_by_others=0, passed_since=None,
                 largest={"instances": 0, "percent": 0, "scaled": None})  # fmt: skip
    assert not any(word in text for word in ("reserved", "passed", "would fit"))
    others = {"text": "others hold it"}
    for hosts, lacks, reason in (
        (["h1"], WAITING["shortfalls"], others),
        ([], [], others),
        (["h1"], [], None),
    ):
        changes = {"hosts": hosts, "shortfalls": lacks, "reason": reason}
        assert "would fit" not in words(largest=None, **changes)


def test_what_a_running_job_holds() -> None:
    """Of a job that holds capacity it is told what and where, and what is wrong with it."""
    hold = {
        "status": "running", "hosts": ["h1"], "held": {"h1": {"VCPU": 4}}, "seen": {},
        "unheld": {"h2": {"VCPU": 1}}, "servers": ["s1", "s2"], "unseen_servers": ["s2"],
        "reason": {"code": "hold_lost", "text": "others filled h2"},
    }  # fmt: skip
    assert list(_holding(hold)) == [
        ("status", "running"),
        ("reason", "others filled h2"),
        ("held on h1", "VCPU 4"),
        ("unheld on h2", "VCPU 1"),
        ("servers", "s1, s2"),
        ("not seen yet", "s2"),
    ]


def test_a_job_that_has_ended(run: Run, api: Served, type_: str) -> None:
    """Of a job that has ended its status is told; for programs that is a refusal."""
    api.run(making.bring(api.broker, Status.DONE, type_=type_))
    assert run("why", type_, "d").stdout == "status  done\n"
    result = run("why", type_, "d", "--json")
    assert (result.exit_code, "(not_waiting)" in result.stderr) == (6, True)
