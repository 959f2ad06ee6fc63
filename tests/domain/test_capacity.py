"""Hosts: one rule for what HTTP, a file or anybody's source says of one."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest

from rq_broker.domain.capacity import Host, checked, new_host
from rq_broker.domain.errors import Invalid
from rq_broker.domain.host_warnings import warning_of
from rq_broker.domain.validation import MAX_WHOLE

GOOD = Host(
    "h",
    {"VCPU": 64, "GPU": 0},
    {"VCPU": 2},
    aggregates=frozenset({"a", "機"}),
    max_unit={"VCPU": MAX_WHOLE},
)


def test_a_valid_host_is_returned() -> None:
    """A valid host comes back itself; any mapping will do for amounts, any set for aggregates."""
    assert checked(GOOD) is GOOD
    checked(replace(GOOD, capacity=MappingProxyType({"VCPU": 1})))
    odd: Any = ["a", "b"]
    checked(replace(GOOD, aggregates=odd))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"name": ""}, "the host's name must not be empty"),
        ({"name": "a/b"}, "the host's name must not contain '/'"),
        ({"name": ".."}, "the host's name must not be '..'"),
        ({"name": 5}, "the host's name must be a string, not 5"),
        ({"name": "h" * 256}, "the host's name must not be longer than 255 bytes"),
        ({"capacity": None}, "capacity is required"),
        (
            {"capacity": {f"r{number}": 1 for number in range(10_001)}},
            "capacity must have at most 10000 fields, not 10001",
        ),
        ({"capacity": []}, "capacity must be a JSON object, not []"),
        (
            {"capacity": {"VCPU": -1}},
            "capacity.VCPU must be a whole number from 0 to 2^53−1, not -1",
        ),
        (
            {"capacity": {"VCPU": True}},
            "capacity.VCPU must be a whole number from 0 to 2^53−1, not true",
        ),
        (
            {"capacity": {"VCPU": 1.0}},
            "capacity.VCPU must be a whole number from 0 to 2^53−1, not 1.0",
        ),
        ({"capacity": {"VCPU": 2**53}}, "capacity.VCPU must be a whole number from 0 to 2^53−1"),
        ({"capacity": {"a/b": 1}}, "capacity: the resource name \"a/b\" must not contain '/'"),
        ({"capacity": {"r" * 65: 1}}, "must not be longer than 64 bytes"),
        ({"capacity": {"機" * 22: 1}}, "must not be longer than 64 bytes"),
        ({"used": {"VCPU": -1}}, "used.VCPU must be a whole number from 0 to 2^53−1, not -1"),
        ({"held": {"VCPU": "1"}}, 'held.VCPU must be a whole number from 0 to 2^53−1, not "1"'),
        (
            {"max_unit": {"VCPU": -1}},
            "max_unit.VCPU must be a whole number from 0 to 2^53−1, not -1",
        ),
        ({"max_unit": {"a\n": 1}}, "max_unit: the resource name"),
        ({"aggregates": frozenset({"a", ""})}, "aggregates[0] must not be empty"),
        ({"aggregates": {"a\x00"}}, "aggregates[0] must not contain control characters"),
        ({"aggregates": "gpu"}, 'aggregates must be a list of strings, not "gpu"'),
        ({"dropped": 1}, "dropped must be true or false, not 1"),
    ],
)
def test_an_invalid_host_is_refused(changes: dict[str, Any], sentence: str) -> None:
    """Every field is checked, max_unit too, and the sentence names it."""
    with pytest.raises(Invalid) as refused:
        checked(replace(GOOD, **changes))
    assert sentence in str(refused.value)


def test_a_host_given_as_json_keeps_the_same_rule() -> None:
    """Name and fields that came apart are refused as they are on a Host."""
    fields = {"capacity": {"VCPU": 64, "GPU": 0}, "used": {"VCPU": 2}, "aggregates": ["a", "機"]}
    assert new_host("h", {**fields, "max_unit": {"VCPU": MAX_WHOLE}}) == GOOD
    with pytest.raises(Invalid, match="the host's name must not contain '/'"):
        new_host("a/b", fields)
    with pytest.raises(
        Invalid, match=r"max_unit\.VCPU must be a whole number from 0 to 2\^53−1, not -1"
    ):
        new_host("h", {**fields, "max_unit": {"VCPU": -1}})


def test_what_is_held_of_devices_that_are_gone_is_shown_on_none_that_is_left() -> None:
    """Each hold is shown once, where it is; for the planner it still counts against each device."""
    held = {"GPU/0": 600, "GPU/1": 700, "GPU/3": 2000}
    host = Host(
        "box",
        {"GPU": 2000},
        held={"GPU": 3300, "VCPU": 64},
        devices={"GPU": (1000, 1000)},
        device_held=held,
    )
    shown = host.all_devices_of("GPU")
    assert [(device.size, device.held) for device in shown] == [
        (1000, 600),
        (1000, 700),
        (0, 0),
        (0, 2000),
    ]
    assert host.unpromised == {"GPU": -1300, "VCPU": -64}
    assert host.device_free == {"GPU/0": -1600, "GPU/1": -1700}
    assert (
        warning_of(host)
        == "held.GPU 3300 is above capacity.GPU 2000; held.VCPU 64 is above capacity.VCPU 0"
    )
