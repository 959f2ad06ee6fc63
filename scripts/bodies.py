"""What reading the README's submit costs, step by step: the fastest of many short slices, in µs."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from functools import partial
from itertools import cycle
from typing import Any

from rq_broker.api.submit import Submit, read_submission, submission
from rq_broker.domain import exact_json
from rq_broker.domain.decoding import convert
from rq_broker.egress.callback import destination
from rq_broker.egress.rules import Egress
from rq_broker.store.keys import digest

README: dict[str, Any] = {
    "request_id": "d",
    "owner_id": "y",
    "data": {"instances": [{"VCPU": 1, "Memory": 1, "Disk": 1}], "project": "project id"},
    "callback": "http://127.0.0.1:9000/granted/d",
}
_EGRESS = Egress.of(allow=["127.0.0.0/8"])
_CALLS, _SLICES = 100, 2000
"""A slice of 100 calls is short enough that some slices are not interrupted on a busy machine."""


def fastest(call: Callable[[], object]) -> float:
    """Measure one call in µs."""
    best = float("inf")
    for _ in range(_SLICES):
        begun = time.perf_counter()
        for _ in range(_CALLS):
            call()
        best = min(best, time.perf_counter() - begun)
    return best / _CALLS * 1e6


def _new(job: Mapping[str, Any], **form: Any) -> Callable[[], object]:
    """Read a body whose `data` was not read lately: more than are kept come in turn."""
    data = [{**job["data"], "project": f"project {number:04}"} for number in range(2048)]
    jobs = cycle([json.dumps({**job, "data": each}, **form).encode() for each in data])
    return lambda: read_submission(next(jobs), None, _EGRESS)


def main() -> None:
    """Print the table."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    compact = json.dumps(README, separators=(",", ":")).encode()
    eight = {**README, "data": {"instances": [README["data"]["instances"][0]] * 8}}
    value = exact_json.loads(compact)
    shape = submission(value).shape
    steps: dict[str, Callable[[], object]] = {
        "exact JSON": partial(exact_json.loads, compact),
        "types and bounds": partial(convert, value, Submit),
        "destination of the callback": partial(destination, README["callback"], None, _EGRESS),
        "the shape's canonical text": shape.canonical,
        "the shape's digest": partial(digest, shape.canonical()),
    }
    forms: dict[str, tuple[Mapping[str, Any], dict[str, Any]]] = {
        "compact": (README, {"separators": (",", ":")}),
        "spaced": (README, {}),
        "indented": (README, {"indent": 2}),
        "8 instances": (eight, {}),
    }
    for name, (job, form) in forms.items():
        body = json.dumps(job, **form).encode()
        steps[f"{name}: data kept"] = partial(read_submission, body, None, _EGRESS)
        steps[f"{name}: data new"] = _new(job, **form)
    for name, call in steps.items():
        print(f"{name:30} {fastest(call):6.2f} µs", flush=True)


if __name__ == "__main__":
    main()
