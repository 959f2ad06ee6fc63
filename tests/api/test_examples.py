"""The examples of the API's page run, in its order, as curl and in Python."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import examples
import jsonschema
import pytest
from starlette.routing import Route

from rq_broker.api import create_app
from rq_broker.api.examples import SERVER, recorded_answers, samples
from rq_broker.api.openapi import document
from rq_broker.api.operations import OPERATIONS
from rq_broker.domain.identity import ANYONE
from rq_broker.store.broker import Broker
from rq_broker.store.connection import in_memory
from tests.api.tenants import WhoHeader

AGAIN = "run scripts/examples.py"
"""What to do where the recorded answers have another form than those of now."""


def media_of(served: dict[str, Any], name: str) -> dict[str, Any]:
    """Return what the document says of the JSON that an operation answers, if any."""
    operations = [each for path in served["paths"].values() for each in path.values()]
    (operation,) = [each for each in operations if each["operationId"] == name]
    success = next(each for status, each in operation["responses"].items() if status < "300")
    found: dict[str, Any] = success["content"].get("application/json", {})
    return found


def test_each_curl_example_runs_and_answers_as_described(tmp_path: Path) -> None:
    """In the page's order on a store that is empty but for the demo host; the recorded answers
    have the form that answers have now."""
    with examples.serving(in_memory()) as url:
        served = examples.document_at(url)
        components = {"components": served["components"]}
        for sample in examples.samples_of(served):
            assert SERVER in sample.curl
            text = examples.attempt(examples.run_curl, sample.curl, url, tmp_path)
            media = media_of(served, sample.name)
            if media and sample.name != "openapi":
                jsonschema.validate(json.loads(text), {**media["schema"], **components})
                assert sample.name in recorded_answers(), AGAIN
                jsonschema.validate(media["example"], {**media["schema"], **components})


def test_each_python_example_runs() -> None:
    """In the page's order too, with the client where it has the call."""
    with examples.serving(in_memory()) as url:
        for sample in examples.samples_of(examples.document_at(url)):
            examples.attempt(examples.run_python, sample.python, url)


def test_no_answer_is_recorded_for_nothing() -> None:
    """Every recorded answer is one of an operation."""
    assert recorded_answers().keys() <= OPERATIONS.keys()


@pytest.fixture(scope="module")
def with_tokens() -> list[examples.Sample]:
    routes = create_app(Broker(in_memory()), inbox=True).routes
    described = [route for route in routes if isinstance(route, Route)]
    return examples.samples_of(document(described, [WhoHeader(ANYONE)]))


def test_where_callers_are_known_examples_have_a_token(with_tokens: list[examples.Sample]) -> None:
    """It comes from a variable; the Python compiles."""
    for sample in with_tokens:
        assert '-H "Authorization: Bearer $RQ_BROKER_TOKEN"' in sample.curl
        assert "os.environ[" in sample.python
        compile(sample.python, sample.name, "exec")


def test_no_line_of_an_example_is_wider_than_its_column() -> None:
    """Side by side on a laptop nothing has to be scrolled; only a URL may be longer."""
    routes = create_app(Broker(in_memory()), inbox=True).routes
    for route in routes:
        if isinstance(route, Route):
            for sample in samples(route, OPERATIONS[route.name], with_token=False):
                long = [line for line in sample["source"].splitlines() if len(line) > 80]
                assert [line for line in long if "http" not in line] == []
