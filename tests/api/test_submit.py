"""What a submit's body becomes, and what is refused."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, strategies as st

from rq_broker.api import submit
from rq_broker.api.submit import read_submission, submission
from rq_broker.domain import exact_json
from rq_broker.domain.errors import CallbackForbidden, Invalid
from rq_broker.domain.jobs import Shape, Submission
from rq_broker.domain.validation import MAX_WHOLE
from rq_broker.egress import callback as callbacks
from rq_broker.egress.rules import Egress

BASE = "http://base.test:8080/inbox/"
ABSENT = object()


def body(**fields: Any) -> dict[str, Any]:
    seed = {
        "request_id": "d",
        "owner_id": "y",
        "data": {"instances": [{"VCPU": 1, "Memory": 1, "Disk": 1}], "project": "project id"},
        "callback": "abc",
    }
    return {key: value for key, value in {**seed, **fields}.items() if value is not ABSENT}


def read(**fields: Any) -> Submission:
    return submission(body(**fields), BASE)


def wanted(*instances: Any, **more: Any) -> Submission:
    return read(data={"instances": list(instances), **more})


def test_the_seeds_request() -> None:
    """The seed's own body becomes a submission with its data canonical."""
    new = read()
    assert (new.request_id, new.owner_id, new.callback, new.priority) == ("d", "y", "abc", None)
    assert new.data == '{"instances":[{"Disk":1,"Memory":1,"VCPU":1}],"project":"project id"}'
    assert new.shape.demand.instances == ((("Disk", 1), ("Memory", 1), ("VCPU", 1)),)
    assert (new.shape.owner, new.shape.destination) == ("y", "http://base.test:8080")


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"request_id": ABSENT}, "request_id is required"),
        ({"request_id": None}, "request_id is required"),
        ({"request_id": 5}, "request_id must be a string, not 5"),
        ({"request_id": ""}, "request_id must not be empty"),
        ({"request_id": "a/b"}, "request_id must not contain '/'"),
        ({"request_id": "."}, "request_id must not be '.'"),
        ({"request_id": ".."}, "request_id must not be '..'"),
        ({"request_id": "a\x00"}, "request_id must not contain control characters"),
        ({"request_id": "a\x85"}, "request_id must not contain control characters"),
        ({"request_id": "a" * 256}, "request_id must not be longer than 255 bytes"),
        ({"request_id": "機" * 86}, "request_id must not be longer than 255 bytes"),
        ({"owner_id": ABSENT}, "owner_id is required"),
        ({"owner_id": ""}, "owner_id must not be empty"),
        ({"owner_id": {}}, "owner_id must be a string, not {}"),
        ({"owner_id": "a\n"}, "owner_id must not contain control characters"),
        ({"callback": ""}, "callback must not be empty"),
        ({"callback": "a" * 2049}, "callback must not be longer than 2048 bytes"),
        ({"data": ABSENT}, "data is required"),
        ({"data": []}, "data must be a JSON object, not []"),
        ({"data": "{}"}, 'data must be a JSON object, not "{}"'),
        ({"expected": 0}, "expected must be seconds above 0, 3162240000 at most, or null, not 0"),
        ({"expected": -1}, "expected must be seconds above 0"),
        ({"expected": True}, "expected must be seconds above 0"),
        ({"expected": "60"}, "expected must be seconds above 0"),
        ({"expected": exact_json.Number("1e400")}, "expected must be seconds above 0"),
        ({"priority": True}, "priority must be a whole number"),
        ({"priority": "1"}, 'priority must be a whole number from −(2^53−1) to 2^53−1, not "1"'),
        ({"priority": exact_json.Number("1.5")}, "not 1.5"),
        ({"priority": exact_json.Number("1.0")}, "not 1.0"),
        ({"priority": 2**53}, "priority must be a whole number from −(2^53−1) to 2^53−1"),
        ({"priority": -(2**53)}, "priority must be a whole number from −(2^53−1) to 2^53−1"),
    ],
)
def test_bad_fields_are_named(fields: dict[str, Any], sentence: str) -> None:
    """Each field that is missing, mistyped, empty, over-long or out of range is refused by name."""
    with pytest.raises(Invalid) as refused:
        read(**fields)
    assert sentence in str(refused.value)


@pytest.mark.parametrize("value", [None, [], "x", 1, True])
def test_the_body_must_be_an_object(value: Any) -> None:
    """Any other JSON is refused as such."""
    with pytest.raises(Invalid, match="the body"):
        submission(value, BASE)


@pytest.mark.parametrize("priority", [0, -MAX_WHOLE, MAX_WHOLE, 83334])
def test_whole_priorities_are_taken(priority: int) -> None:
    """Every whole number a score says exactly may be a priority."""
    assert read(priority=priority).priority == priority


@pytest.mark.parametrize(
    ("said", "seconds", "rounded"),
    [
        (ABSENT, None, None),
        (None, None, None),
        (0.5, 0.5, 1),
        (60, 60.0, 60),
        (exact_json.Number("60.5"), 60.5, 61),
        (3 * 86400, 259_200.0, 260_000),
        (3e9, 3e9, 3_000_000_000),
    ],
)
def test_what_a_job_expects_is_kept_and_rounded_up_in_its_shape(
    said: Any, seconds: float | None, rounded: int | None
) -> None:
    """The submission has the seconds as said; its shape has them with two digits, or none."""
    new = read(expected=said)
    assert (new.expected, new.shape.expected) == (seconds, rounded)


def test_unknown_fields_are_ignored() -> None:
    """As the original did."""
    assert read(colour="red") == read()


def test_names_may_be_any_letters() -> None:
    """Only bytes are counted: 85 letters of three bytes each fit."""
    assert read(request_id="機" * 85, owner_id="x/{}").owner_id == "x/{}"


@pytest.mark.parametrize(
    ("instances", "sentence"),
    [
        ({}, "data.instances must be a list of 1 to 1000 instances, not {}"),
        ([], "data.instances must be a list of 1 to 1000 instances, not of 0"),
        ([{}] * 1001, "data.instances must be a list of 1 to 1000 instances, not of 1001"),
        ([{}, 5], "data.instances[1] must be a JSON object, not 5"),
        ([None], "data.instances[0] is required"),
        (
            [{}, {}, {"VCPU": -1}],
            "data.instances[2].VCPU must be a whole number from 0 to 2^53−1, not -1",
        ),
        (
            [{"VCPU": True}],
            "data.instances[0].VCPU must be a whole number from 0 to 2^53−1, not true",
        ),
        (
            [{"VCPU": None}],
            "data.instances[0].VCPU must be a whole number from 0 to 2^53−1, not null",
        ),
        (
            [{"VCPU": "4"}],
            'data.instances[0].VCPU must be a whole number from 0 to 2^53−1, not "4"',
        ),
        ([{"VCPU": exact_json.Number("1.5")}], "data.instances[0].VCPU must be a whole number"),
        ([{"VCPU": 2**53}], "data.instances[0].VCPU must be a whole number from 0 to 2^53−1"),
        ([{"": 1}], 'data.instances[0]: the resource name "" must not be empty'),
        ([{"a/b": 1}], "data.instances[0]: the resource name \"a/b\" must not contain '/'"),
        ([{"a\t": 1}], "must not contain control characters"),
        ([{"r" * 65: 1}], "must not be longer than 64 bytes"),
        ([{"機" * 22: 1}], "must not be longer than 64 bytes"),
        ([{"V": MAX_WHOLE}, {"V": 1}], "data.instances need 9007199254740992 V in all"),
    ],
)
def test_malformed_instances_are_placed(instances: Any, sentence: str) -> None:
    """A malformed instance is refused with the place it stands at."""
    with pytest.raises(Invalid) as refused:
        read(data={"instances": instances})
    assert sentence in str(refused.value)


@pytest.mark.parametrize("data", [{}, {"instances": None}, {"project": "p"}])
def test_no_list_means_one_slot(data: dict[str, Any]) -> None:
    """Without instances a job needs one slot."""
    assert read(data=data).shape.demand.instances == ((("Slots", 1),),)


def test_zeros_are_dropped_and_resources_sorted() -> None:
    """The same demand has one shape, however it was written; instances keep their order."""
    first = wanted({"b": 2, "a": 1, "z": 0}, {"a": 3})
    assert first.shape == wanted({"a": 1, "b": 2}, {"z": 0, "a": 3}).shape
    assert first.shape.demand.instances == ((("a", 1), ("b", 2)), (("a", 3),))
    assert '"z":0' in first.data


def test_aggregate_and_spread() -> None:
    """host_aggregate and spread are part of the demand; empty and null mean none."""
    demand = wanted({"a": 1}, host_aggregate="gpu", spread=True).shape.demand
    assert (demand.aggregate, demand.spread) == ("gpu", True)
    for none in ({"host_aggregate": ""}, {"host_aggregate": None, "spread": None}):
        assert wanted({"a": 1}, **none).shape == wanted({"a": 1}).shape


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"host_aggregate": 5}, "data.host_aggregate must be a string, not 5"),
        ({"host_aggregate": []}, "data.host_aggregate must be a string"),
        ({"host_aggregate": "a" * 256}, "data.host_aggregate must not be longer"),
        ({"spread": 1}, "data.spread must be true or false, not 1"),
    ],
)
def test_bad_aggregate_or_spread(more: dict[str, Any], sentence: str) -> None:
    """Both are refused by name when mistyped."""
    with pytest.raises(Invalid) as refused:
        wanted({"a": 1}, **more)
    assert sentence in str(refused.value)


def test_the_shape_survives_its_text() -> None:
    """What the edge builds is what the planner reads back."""
    shape = wanted({"b": 2, "a": MAX_WHOLE}, host_aggregate="機", spread=True).shape
    assert Shape.parse(shape.canonical()) == shape


@pytest.mark.parametrize(
    ("callback", "expected"),
    [
        ("abc", "http://base.test:8080"),
        ("/abc?x=http://other.test/", "http://base.test:8080"),
        ("http://a.test", "http://a.test:80"),
        ("https://a.test/x", "https://a.test:443"),
        ("HTTP://A.Test:8080/x?y", "http://a.test:8080"),
        ("http://[::1]:9/x", "http://[::1]:9"),
        ("http://127.0.0.1:8000/abc-0123", "http://127.0.0.1:8000"),
        ("//other.test/x", "http://other.test:80"),
    ],
)
def test_destinations(callback: str, expected: str) -> None:
    """A callback's receiver is scheme, host and port, whichever way the URL spells them."""
    assert callbacks.destination(callback, BASE) == expected
    assert read(callback=callback).shape.destination == expected


def test_relative_callbacks_need_a_base() -> None:
    """Without a base a relative callback is a 400 that says so; an absolute one is fine."""
    with pytest.raises(Invalid, match=r"callback must be an absolute http or https URL"):
        submission(body(), None)
    absolute = submission(body(callback="http://a.test/x"), None)
    assert absolute.shape.destination == "http://a.test:80"


def test_egress_refuses_what_could_never_be_dialled() -> None:
    """With egress rules a callback is judged once resolved; its destination is the same as ever."""
    egress = Egress.of(
        allow=["127.0.0.0/8"], deny=["bad.test"], own_listeners=[("127.0.0.1", 6379)]
    )
    allowed = ("http://127.1:9/x", "abc", "HTTPS://Good.Test", "http://[fd00::1]:9/x")
    for callback in allowed:
        assert callbacks.destination(callback, BASE, egress) == callbacks.destination(
            callback, BASE
        )
    forbidden = ("http://bad.test/x", "http://127.0.0.1:6379/", "http://[::1]/", "http://0x0/")
    for callback in forbidden:
        assert submission(body(callback=callback), BASE)
        with pytest.raises(CallbackForbidden, match="are not allowed"):
            submission(body(callback=callback), BASE, egress)
    with pytest.raises(CallbackForbidden, match="are not allowed"):
        submission(body(), "http://bad.test/inbox/", egress)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=8
)  # fmt: skip
fields = st.sampled_from(["request_id", "owner_id", "callback", "data", "priority", "expected"])


@given(st.dictionaries(fields, json_values))
def test_no_body_gets_through_half(replaced: dict[str, Any]) -> None:
    """Whatever stands in the fields: a submission whose shape reads back, or a refusal of ours."""
    with suppress(Invalid):
        new = read(**replaced)
        assert Shape.parse(new.shape.canonical()) == new.shape


def outcome(body: bytes, *, fast: bool) -> Submission | str:
    """Return what a body becomes on one of the two paths, or the sentence that refuses it."""
    try:
        if not fast:
            return submission(exact_json.loads(body), BASE)
        new = read_submission(body, BASE)
        assert isinstance(new, Submission)
        return new
    except Invalid as refused:
        return f"{refused.code}: {refused}"


README = body(callback="http://127.0.0.1:9000/granted/d", priority=5)


@pytest.mark.parametrize("form", [{"separators": (",", ":")}, {}, {"indent": 2}])
def test_plain_bodies_take_the_fast_path(
    form: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body of known fields in ASCII is not parsed exactly, however it is spaced."""
    text = json.dumps(README, **form).encode()
    expected = outcome(text, fast=False)
    expecting = json.dumps({**README, "expected": 90.5}, **form).encode()
    expected_of_expecting = outcome(expecting, fast=False)
    monkeypatch.setattr(submit, "submission", None)
    assert outcome(text, fast=True) == expected
    assert outcome(expecting, fast=True) == expected_of_expecting


TEXT = json.dumps(README)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"d"', '"d", "request_id": "e"'),
        ('"priority"', '"data": {}, "priority"'),
        ('"priority": 5', '"priority": null, "data": {}'),
        ('"priority": 5', '"expected": 5'),
        ('"priority": 5', '"expected": 1.50e2'),
        ('"priority": 5', '"expected": 1e400'),
        ('"priority": 5', '"expected": 1e-400'),
        ('"priority": 5', '"expected": -0'),
        ('"priority": 5', '"expected": null'),
        ('"priority": 5', '"expected": 60, "expected": 61'),
        ('"priority": 5', '"priority": 5.0, "expected": 0.5'),
        ('"priority": 5', '"x": 1'),
        ('"priority": 5', '"x": 1.50'),
        ('"priority": 5', '"x": "\xff"'),
        ('"priority": 5', '"x": {"a": 1, "a": 2}'),
        ("5", "-0"),
        ("5", "0"),
        ("5", "null"),
        ("5", "5.0"),
        ("5", "18446744073709551616"),
        ('"d"', '"\\u0064"'),
        ('"request_id"', '"request\\u005fid"'),
        ('"d"', '"\\ud800"'),
        ('"d"', '"\x7f"'),
        ('"d"', '"\xff"'),
        ('"d"', '"d/e"'),
        ('"d"', '".."'),
        ('"d"', '"\u00fc"'),
        ('"y"', '"\u6a5f"'),
        ("project id", "a\\nb"),
        ("project id", "\\ud800"),
        ("project id", "\ufffe"),
        ('"project id"', "1.50"),
        ('"project id"', "-0"),
        ('"project id"', '1, "project": 2'),
        ('"project id"', "[" * 252 + "]" * 252),
        ('"project id"', "[" * 253 + "]" * 253),
        ('"project id"', "[" * 254 + "]" * 254),
        ('"project id"', "[" * 300 + "]" * 300),
        ('"project id"', "[" * 99_999 + "]" * 99_999),
        ('"VCPU": 1', '"VCPU": 1.0'),
        ('"VCPU": 1', '"V/U": 1'),
        ('"VCPU": 1', '"VCPU": 9007199254740991}, {"VCPU": 1'),
        ("{", "["),
        ("}", "}}"),
    ],
)
def test_the_fast_path_changes_nothing(old: str, new: str) -> None:
    """Duplicate keys, unknown keys, odd numbers and letters have the result of the exact parser."""
    assert old in TEXT
    odd = TEXT.replace(old, new, 1).encode("latin-1" if "\xff" in new else "utf-8")
    assert outcome(odd, fast=True) == outcome(odd, fast=False)


KEYS = ["request_id", "owner_id", "callback", "data", "priority", "expected", "x", "\\u0064ata"]
VALUES = [
    '"d"',
    '"a/b"',
    '"\\n"',
    "{}",
    '{"a":1.0}',
    '{"a":"\\u0041"}',
    "1",
    "0.5",
    "-0",
    "null",
    '"\xfc"',
]


@given(
    st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from(VALUES)), max_size=3), st.booleans()
)
def test_both_paths_agree(more: list[tuple[str, str]], after: bool) -> None:
    """With any fields before or after the seed's, duplicates too, both paths have one result."""
    seed = json.dumps(body())[1:-1]
    odd = ", ".join(f'"{key}": {value}' for key, value in more)
    parts = [seed, odd] if after else [odd, seed]
    text = f"{{{', '.join(filter(None, parts))}}}".encode()
    assert outcome(text, fast=True) == outcome(text, fast=False)
