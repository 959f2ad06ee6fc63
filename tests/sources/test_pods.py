"""What nodes have and pods ask for, as whole numbers."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from rq_broker.sources.pods import quantities, requests_of


def container(cpu: str, **fields: Any) -> dict[str, Any]:
    return {"resources": {"requests": {"cpu": cpu}}} | fields


SIDECAR = {"restartPolicy": "Always"}


@pytest.mark.parametrize(
    ("spec", "cpu"),
    [
        ({"containers": [container("1"), container("500m")]}, "1.5"),
        ({"containers": [container("1")], "initContainers": [container("3")]}, "3"),
        ({"containers": [container("2")], "initContainers": [container("1"), container("1")]}, "2"),
        ({"containers": [container("2")], "initContainers": [container("1", **SIDECAR)]}, "3"),
        (
            {
                "containers": [container("1")],
                "initContainers": [container("1", **SIDECAR), container("4")],
            },
            "5",
        ),
        (
            {
                "containers": [container("1")],
                "initContainers": [container("4"), container("1", **SIDECAR)],
            },
            "4",
        ),
        ({"containers": [container("1")], "overhead": {"cpu": "250m"}}, "1.25"),
        (
            {
                "containers": [container("1")],
                "resources": {"requests": {"cpu": "4"}},
                "overhead": {"cpu": "1"},
            },
            "5",
        ),
    ],
    ids=["sum", "init", "small init", "sidecar", "init after", "init before", "overhead", "pod"],
)
def test_a_request_is_what_the_scheduler_reserves(spec: dict[str, Any], cpu: str) -> None:
    """It is the larger of containers and start-up, replaced by the pod's own, plus overhead."""
    assert requests_of({"spec": spec}) == {"cpu": Decimal(cpu), "pods": 1}


def test_a_container_without_requests_requests_nothing() -> None:
    """A best-effort pod counts only as one of `pods`."""
    assert requests_of({"spec": {"containers": [{}, {"resources": {}}]}}) == {"pods": 1}


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 1), ("100m", "0.1"), ("1Ki", 1024), ("2M", 2_000_000), ("1e3", 1000), (4, 4)],
)
def test_quantities_are_exact(text: int | str, value: int | str) -> None:
    """Every suffix of the API is read without rounding."""
    assert quantities({"x": text}) == {"x": Decimal(value)}
