"""Bodies that are refused: the sentence says what is wrong, where, and what may be sent."""

from __future__ import annotations

import gzip
import json
from typing import Any

import httpx
import pytest

from tests.api.conftest import refused, submission


def _submit(**instance: Any) -> dict[str, Any]:
    return submission("d", data={"instances": [{"VCPU": 1, **instance}]})


@pytest.mark.parametrize(
    ("path", "body", "sentence"),
    [
        (
            "/types/vm/what-if",
            {"add_hosts": []},
            "add_hosts must be a list of 1 to 10 objects, not of 0",
        ),
        (
            "/v1/vm/",
            _submit(require="SSD"),
            'data.instances[0].require must be a list of at most 100 traits, not "SSD"',
        ),
        (
            "/v1/vm/",
            _submit(forbid=None),
            "data.instances[0].forbid is required",
        ),
        (
            "/types/vm/actions",
            {"action": "done", "filter": {"needs": {}}},
            "filter.needs must not be empty",
        ),
        (
            "/types/vm/actions",
            {"action": "done", "filter": {"own": "y"}},
            'the field of filter "own" is not known; known are owner_id, status',
        ),
        (
            "/v1/vm/",
            _submit(count={"min": 1, "max": 2, "x": 1}),
            'the field of data.instances[0].count "x" is not known; known are min, max',
        ),
    ],
)
async def test_a_sentence_says_where_and_what(
    api: httpx.AsyncClient, path: str, body: dict[str, Any], sentence: str
) -> None:
    """A part that does not fit is named with its place, and with what is meant there."""
    refused(await api.post(path, json=body), 400, "invalid_request", sentence)


async def test_an_unknown_field_of_a_limit_is_placed(api: httpx.AsyncClient) -> None:
    """A misspelt field deep in a policy is named with the owner that it is of."""
    answer = await api.put("/types/vm", json={"queue_limits": {"y": {"job": 5}}})
    sentence = 'the field of queue_limits.y "job" is not known; known are'
    refused(answer, 400, "invalid_request", sentence)


async def test_a_number_that_is_not_whole_has_the_range_of_its_field(
    api: httpx.AsyncClient,
) -> None:
    """`1e3` as a count is refused by the bounds of count, as 1001 is."""
    body = json.dumps(_submit(count=1001))
    for text, shown in ((body, "1001"), (body.replace("1001", "1e3"), "1e3")):
        answer = await api.post("/v1/vm/", content=text)
        assert f"a whole number from 1 to 1000, not {shown}" in answer.json()["error"] or (
            "over 1000" in answer.json()["error"]
        )


@pytest.mark.parametrize("path", ["/v1/vm/", "/types/vm/jobs", "/types/vm/what-if"])
@pytest.mark.parametrize(
    ("content", "headers", "sentence"),
    [
        (b"\xef\xbb\xbf{}", {}, "begins with a byte order mark (BOM)"),
        (gzip.compress(b"{}", mtime=0), {}, "the byte 0x8b at 1 is no text in UTF-8"),
        (
            gzip.compress(b"{}", mtime=0),
            {"Content-Encoding": "gzip"},
            "Content-Encoding 'gzip' is not supported: send the body as it is",
        ),
        (b'{"data":' * 400 + b"1" + b"}" * 400, {}, "at most 254 lists and objects within"),
        (b"[" * 100_000, {}, "at most 254 lists and objects within"),
    ],
)
async def test_what_cannot_be_read_is_told_in_plain_words(
    api: httpx.AsyncClient, path: str, content: bytes, headers: dict[str, str], sentence: str
) -> None:
    """Encodings and depths that are not taken are named, not the parser's exception."""
    answer = await api.post(path, content=content, headers=headers)
    refused(answer, 400, "unreadable_json", sentence)


async def test_the_depth_that_is_told_is_the_limit(api: httpx.AsyncClient) -> None:
    """A body of 254 levels is taken, and one of 255 is not."""
    for depth, status in ((254, 201), (255, 400)):
        inner = depth - 2  # the body, and data
        data = '{"x":' + "[" * inner + "1" + "]" * inner + "}"
        body = json.dumps(submission(f"d{depth}", callback=f"{depth}", data={})).replace(
            '"data": {}', f'"data": {data}'
        )
        answer = await api.post("/v1/vm/", content=body)
        assert answer.status_code == status, answer.text


async def test_an_array_has_no_attempts_of_its_own(api: httpx.AsyncClient) -> None:
    """What only jobs have is a 400 that says what to do, whether or not the array is there."""
    for part in ("attempts", "history", "events"):
        answer = await api.get(f"/v1/vm/gone[*]/{part}")
        refused(answer, 400, "invalid_request", "request_id must name one job, not all of gone[*]")


@pytest.mark.parametrize(
    ("units", "sentence"),
    [
        ({"step_size": {"VCPU": 0}}, "step_size.VCPU is 0, which counts as 1"),
        ({"max_unit": {"VCPU": 0}}, "max_unit.VCPU is 0: no instance can have any VCPU"),
        (
            {"min_unit": {"VCPU": 4}, "max_unit": {"VCPU": 2}},
            "min_unit.VCPU 4 is above max_unit.VCPU 2: no instance",
        ),
        ({"min_unit": {"VCPU": 9}}, "min_unit.VCPU 9 is above capacity.VCPU 8: no instance"),
        ({"min_unit": {"VCPU": 2}, "max_unit": {"VCPU": 2}, "step_size": {"VCPU": 2}}, ""),
        ({"used": {"VCPU": 9}}, "used.VCPU 9 is above capacity.VCPU 8"),
        ({"used": {"Disk": 1}}, "used.Disk 1 is above capacity.Disk 0"),
        ({"used": {"VCPU": 8}}, ""),
    ],
)
async def test_what_is_odd_about_a_host_is_warned_of(
    api: httpx.AsyncClient, units: dict[str, Any], sentence: str
) -> None:
    """A host with units in vain, or more used than there is, has a warning: new, again, patched."""
    path, host = "/types/vm/hosts/h", {"capacity": {"VCPU": 8, "Other": 0}, **units}
    answers = [await api.put(path, json=host), await api.put(path, json=host)]
    answers.append(await api.patch(path, json=units))
    for answer in answers:
        assert answer.is_success
        warning = answer.json().get("Warning", "")
        assert warning.startswith(sentence) if sentence else not warning
