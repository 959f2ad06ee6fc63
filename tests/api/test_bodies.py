"""What the bodies of updates, hosts and policies become, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from rq_broker.api import bodies
from rq_broker.api.bodies import NewExpected, Reorder, Transition
from rq_broker.domain.capacity import Host
from rq_broker.domain.errors import Invalid
from rq_broker.domain.exact_json import Number
from rq_broker.domain.jobs import Status
from rq_broker.domain.sharing import Share
from rq_broker.domain.validation import MAX_WHOLE


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"priority": 83334}, Reorder("priority", "83334")),
        ({"priority": -MAX_WHOLE}, Reorder("priority", str(-MAX_WHOLE))),
        ({"before": "a"}, Reorder("before", "a")),
        ({"after": "機"}, Reorder("after", "機")),
        ({"position": "front"}, Reorder("position", "front")),
        ({"position": "back", "colour": "red"}, Reorder("position", "back")),
        ({"status": "done"}, Transition(Status.DONE)),
        ({"status": "granted", "priority": None}, Transition(Status.GRANTED)),
        ({"status": "running", "fence": 7}, Transition(Status.RUNNING, 7)),
        (
            {"status": "running", "servers": ["a", "ü"]},
            Transition(Status.RUNNING, None, "", ("a", "ü")),
        ),
        ({"status": "running", "servers": []}, Transition(Status.RUNNING)),
        ({"status": "error", "error": "disk\nfull"}, Transition(Status.ERROR, None, "disk\nfull")),
        ({"status": "done", "expected": None}, Transition(Status.DONE)),
        ({"expected": 60}, NewExpected(60.0)),
        ({"expected": Number("0.5"), "priority": None}, NewExpected(0.5)),
        ({"expected": None}, NewExpected(None)),
        ({"expected": None, "position": None}, NewExpected(None)),
    ],
)
def test_updates(body: dict[str, Any], expected: Reorder | Transition | NewExpected) -> None:
    """Each kind of update becomes its value; null counts as left out, but in `expected` alone."""
    assert bodies.update(body) == expected


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({}, "exactly one of priority, status, before, after, position, expected, not none"),
        ({"statuss": "done", "fence": 1}, 'not none; the body has "statuss", "fence"'),
        ({"priority": None}, "not none"),
        ({"priority": 1, "status": "done"}, "not priority and status"),
        ({"before": "a", "after": "b"}, "not before and after"),
        ({"before": "a", "expected": 1}, "not before and expected"),
        ({"expected": 0}, "expected must be seconds above 0, 3162240000 at most, or null, not 0"),
        ({"expected": "1"}, "expected must be seconds above 0"),
        ({"expected": 4e9}, "expected must be seconds above 0"),
        ({"expected": None, "fence": 1}, "fence goes with status, not with expected"),
        ({"priority": Number("1.5")}, "priority must be a whole number"),
        ({"priority": 2**53}, "priority must be a whole number from −(2^53−1) to 2^53−1"),
        ({"status": "paused"}, "status must be one of queued, granted, running, done, error"),
        (
            {"status": ["done"]},
            'status must be one of queued, granted, running, done, error, not ["',
        ),
        ({"before": 5}, "before must be a string, not 5"),
        ({"after": ""}, "after must not be empty"),
        (
            {"position": "middle"},
            'position must be a whole number from 1 to 2^53−1, front or back, not "middle"',
        ),
        ({"priority": 1, "fence": 1}, "fence goes with status, not with priority"),
        ({"position": "back", "error": "x"}, "error goes with status, not with position"),
        ({"status": "done", "fence": -1}, "fence must be a whole number from 0 to 2^53−1"),
        ({"status": "done", "error": "x"}, "error goes with status error, not with done"),
        ({"priority": 1, "servers": []}, "servers goes with status, not with priority"),
        ({"status": "done", "servers": ["a"]}, "servers go with status running, not with done"),
        ({"status": "running", "servers": "a"}, "servers must be a list of at most 100 names"),
        ({"status": "running", "servers": ["a"] * 101}, "servers must be a list of at most 100"),
        ({"status": "running", "servers": ["a", "b c"]}, "servers[1] must not contain ' '"),
        ({"status": "error", "error": 5}, "error must be a string"),
        ({"status": "error", "error": "x" * 1001}, "at most 1000 characters"),
        ([], "the body must be a JSON object"),
    ],
)
def test_bad_updates(body: Any, sentence: str) -> None:
    """An update that says nothing, too much, or something mistyped is refused by name."""
    with pytest.raises(Invalid) as refused:
        bodies.update(body)
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({}, "data or request_id is required"),
        ({"request_id": None, "priority": 1}, "data or request_id is required"),
        (
            {"data": {}, "position": "middle"},
            'position must be a whole number from 1 to 2^53−1, front or back, not "middle"',
        ),
        ({"dta": {}}, 'the field "dta" is not known; known are data, owner_id'),
        ({"request_id": "d"}, "with request_id, give one of priority, position, before, after"),
        ({"data": {}, "priority": 1, "position": 1}, "takes priority or position, not both"),
    ],
)
def test_bad_forecasts(body: dict[str, Any], sentence: str) -> None:
    """A what-if that does not say what to forecast is refused with what it lacks."""
    with pytest.raises(Invalid) as refused:
        bodies.what_if(body)
    assert sentence in str(refused.value)


def test_a_host() -> None:
    """A host is read with its amounts and aggregates; what we compute is ignored."""
    body = {"capacity": {"VCPU": 64, "GPU": 0}, "used": {"VCPU": 2}, "aggregates": ["b", "a"]}
    expected = Host("h", {"VCPU": 64, "GPU": 0}, {"VCPU": 2}, aggregates=frozenset({"a", "b"}))
    assert bodies.host("h", body) == expected
    assert bodies.host("h", {**body, "held": {"VCPU": 9}, "name": "x", "free": 0}) == expected
    assert bodies.host("h", {"capacity": {}, "used": None, "aggregates": None}) == Host("h", {})


@pytest.mark.parametrize(
    ("name", "body", "sentence"),
    [
        ("h", {}, "capacity is required"),
        (
            "h",
            {"capacity": {"VCPU": -1}},
            "capacity.VCPU must be a whole number from 0 to 2^53−1, not -1",
        ),
        ("h", {"capacity": {"a/b": 1}}, 'capacity: the resource name "a/b"'),
        ("h", {"capacity": {}, "used": []}, "used must be a JSON object"),
        ("h", {"capacity": {}, "max_unit": {"VCPU": 1.5}}, "max_unit.VCPU must be a whole number"),
        ("h", {"capacity": {}, "aggregates": "gpu"}, "aggregates must be a list of strings"),
        ("h", {"capacity": {}, "aggregates": ["a", 1]}, "aggregates[1] must be a string, not 1"),
        ("h", {"capacity": {}, "agregates": []}, 'the field "agregates" is not known'),
        ("..", {"capacity": {}}, "the host's name must not be '..'"),
        ("a\x00", {"capacity": {}}, "the host's name must not contain control characters"),
        ("h" * 256, {"capacity": {}}, "the host's name must not be longer than 255 bytes"),
    ],
)
def test_bad_hosts(name: str, body: dict[str, Any], sentence: str) -> None:
    """A malformed host is refused with the place."""
    with pytest.raises(Invalid) as refused:
        bodies.host(name, body)
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, {}),
        ({"patience": 60}, {"patience": 60.0}),
        ({"offer": Number("1.50")}, {"offer": 1.5}),
        ({"running": None, "retention": 0}, {"running": None, "retention": 0.0}),
        ({"paused": True, "share": "owner"}, {"paused": True, "share": "owner"}),
        ({"concurrency": 1}, {"concurrency": 1}),
        ({"share": {"by": "owner"}}, {"share": Share("owner", 86400.0, {})}),
        (
            {"share": {"by": "owner", "half_life": 60, "weights": {"lab": 2, "*": Number("0.5")}}},
            {"share": Share("owner", 60.0, {"lab": 2.0, "*": 0.5})},
        ),
        ({"share": None, "limits": None}, {"share": None, "limits": {}}),
        ({"limits": {"*": {"VCPU": 64}}}, {"limits": {"*": {"VCPU": 64}}}),
    ],
)
def test_policies(body: dict[str, Any], expected: dict[str, object]) -> None:
    """Only the fields named are changed; spans become seconds."""
    assert bodies.policy(body) == expected


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"patiance": 5}, 'the policy field "patiance" is not known; known are patience'),
        ({"patience": -1}, "patience must be seconds from 0"),
        ({"patience": True}, "patience must be seconds from 0"),
        ({"retention": "5"}, 'or null for without end, not "5"'),
        ({"offer": Number("1e400")}, "offer must be seconds above 0"),
        ({"offer": 0}, "offer must be seconds above 0, 3162240000 at most, or null, not 0"),
        ({"running": 0.0}, "running must be seconds above 0, 3162240000 at most, or null, not 0"),
        ({"retention": 10**18}, "retention must be seconds from 0"),
        ({"paused": None}, "paused must be true or false, not null"),
        ({"concurrency": 0}, "concurrency must be a whole number from 1 to 10000, not 0"),
        ({"concurrency": 10_001}, "concurrency must be a whole number from 1 to 10000, not 10001"),
        ({"share": "fair"}, 'share must be "owner", a JSON object or null, not "fair"'),
        ({"share": {}}, 'share.by must be "owner", not null'),
        ({"share": {"by": "type"}}, 'share.by must be "owner", not "type"'),
        (
            {"share": {"by": "owner", "halflife": 1}},
            'the field of share "halflife" is not known; known are by, half_life, weights',
        ),
        (
            {"share": {"by": "owner", "half_life": 0}},
            "share.half_life must be seconds above 0, 3162240000 at most, not 0",
        ),
        ({"share": {"by": "owner", "half_life": None}}, "share.half_life must be seconds above 0"),
        ({"share": {"by": "owner", "weights": []}}, "share.weights must be a JSON object"),
        (
            {"share": {"by": "owner", "weights": {"lab": 0}}},
            "share.weights.lab must be a number above 0, 1000000 at most, not 0",
        ),
        ({"share": {"by": "owner", "weights": {"lab": "2"}}}, "share.weights.lab must be a number"),
        (
            {"share": {"by": "owner", "weights": {"": 1}}},
            'share.weights: the owner "" must not be empty',
        ),
        (
            {"share": {"by": "owner", "weights": {"a\n": 1}}},
            'share.weights: the owner "a\\n" must not contain control characters',
        ),
        ({"limits": []}, "limits must be a JSON object"),
        ({"limits": {"": {}}}, 'limits: the owner "" must not be empty'),
        (
            {"limits": {"lab": {"VCPU": -1}}},
            "limits.lab.VCPU must be a whole number from 0 to 2^53−1",
        ),
    ],
)
def test_bad_policies(body: dict[str, Any], sentence: str) -> None:
    """An unknown field or a value out of range is refused by name."""
    with pytest.raises(Invalid) as refused:
        bodies.policy(body)
    assert sentence in str(refused.value)
