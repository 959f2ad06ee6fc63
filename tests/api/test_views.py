"""What hosts, attempts, destinations and sources look like in answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec import to_builtins

from rq_broker.api.reason_fields import warned_of, why_fields
from rq_broker.api.views import AttemptView, DestinationView, HostView, SourceView
from rq_broker.domain.capacity import Host, SourceState
from rq_broker.domain.deliveries import Attempt, Destination
from rq_broker.domain.reasons import reason as reasons
from rq_broker.domain.reasons.codes import ReasonCode
from rq_broker.domain.reasons.reason import Reason
from rq_broker.domain.representation import EtaView
from rq_broker.planner.forecasting.forecasts import Forecast


@pytest.mark.parametrize(
    ("capacity", "used", "held", "free", "in_transit"),
    [
        ({"VCPU": 8}, {}, {}, {"VCPU": 8}, {}),
        ({"VCPU": 8}, {"VCPU": 3}, {"VCPU": 4}, {"VCPU": 1}, {}),
        ({"VCPU": 8}, {"VCPU": 8}, {"VCPU": 4}, {"VCPU": 0}, {"VCPU": 4}),
        ({"VCPU": 8}, {"VCPU": 6}, {"VCPU": 4}, {"VCPU": 0}, {"VCPU": 2}),
        ({"VCPU": 2}, {}, {"VCPU": 4}, {"VCPU": -2}, {}),
        ({"VCPU": 2}, {"VCPU": 3}, {}, {"VCPU": -1}, {}),
        ({}, {"VCPU": 3}, {"GPU": 1}, {"VCPU": -3, "GPU": -1}, {}),
    ],
)
def test_free_does_not_count_twice_what_is_in_transit(
    capacity: dict[str, int],
    used: dict[str, int],
    held: dict[str, int],
    free: dict[str, int],
    in_transit: dict[str, int],
) -> None:
    """Free is below 0 only where used or held alone is more than there is; the planner's is not."""
    host = Host("h", capacity, used, held, frozenset({"b", "a"}))
    assert host.free == {
        resource: amount - used.get(resource, 0) - held.get(resource, 0)
        for resource, amount in capacity.items()
    }
    assert to_builtins(HostView.of(host)) == {
        "name": "h",
        "capacity": capacity,
        "used": used,
        "held": held,
        "free": free,
        "in_transit": in_transit,
        "aggregates": ["a", "b"],
        "dropped": False,
    }


def test_a_hosts_max_unit_and_source_are_there_only_where_set() -> None:
    """Both keys come last, and each is absent where the host has none."""
    host = to_builtins(HostView.of(Host("h", {}, max_unit={"VCPU": 1}, source="lab")))
    assert [*host][-2:] == ["max_unit", "source"]
    assert (host["max_unit"], host["source"]) == ({"VCPU": 1}, "lab")


def test_attempts_and_destinations_have_plain_keys() -> None:
    """Both show every field they have, times in RFC 3339 and spans in seconds."""
    assert to_builtins(AttemptView.of(Attempt(1_500_000, 3, 2, "timeout", 9))) == {
        "time": "1970-01-01T00:00:01.500000Z",
        "fence": 3,
        "attempt": 2,
        "cause": "timeout",
        "milliseconds": 9,
    }
    failing = Destination("http://x:80", "lab-7", "open", 5, 4.5, 0.5, 1, 2)
    assert to_builtins(DestinationView.of(failing)) == {
        "destination": "http://x:80",
        "owner": "lab-7",
        "state": "open",
        "failures": 5,
        "open_seconds": 4.5,
        "asked_seconds": 0.5,
        "in_flight": 1,
        "parked": 2,
    }


@pytest.mark.parametrize(("cause", "text"), [("faulty", "a torn body"), ("", "")])
def test_a_source_has_a_cause_or_null(cause: str, text: str) -> None:
    """A source whose last poll succeeded has null for cause and text."""
    source = to_builtins(SourceView.of(SourceState("lab", 1.5, False, 3, 1, cause, text)))
    assert source == {
        "name": "lab",
        "age_seconds": 1.5,
        "stale": False,
        "hosts": 3,
        "clashes": 1,
        "cause": cause or None,
        "text": text or None,
    }


@pytest.mark.parametrize(
    ("build", "key"),
    [
        (why_fields, "reason"),
        (warned_of, "warning"),
        (lambda reason: to_builtins(EtaView.of(Forecast(None, None, reason))), "reason"),
    ],
)
def test_an_answer_makes_the_sentence_of_a_reason_once(
    build: Callable[[Reason], dict[str, Any]], key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sentence beside the values is theirs: making it costs as much as all values."""
    made: list[str] = []

    def counted(reason: Reason) -> str:
        made.append(f"sentence {len(made)} of {reason.code}")
        return made[-1]

    monkeypatch.setattr(reasons, "text_of", counted)
    answer = to_builtins(build(Reason(code=ReasonCode.COMPUTING)))
    assert answer[key] == answer["why"]["text"] == "sentence 0 of computing"
    assert len(made) == 1
