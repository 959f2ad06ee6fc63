"""Explanations and forecasts over HTTP: the keys of the answers, in their order."""

from __future__ import annotations

from typing import Any

import httpx

from tests.api.conftest import submit

WAITING_KEYS = ["reason", "explains", "hosts", "shortfalls", "holders", "protected"]
WAITING_KEYS += ["passed_since", "passed_by", "largest"]
HOST: dict[str, Any] = {"capacity": {"VCPU": 2}, "used": {"VCPU": 1}}


async def test_an_explanation_has_its_keys_in_order(api: httpx.AsyncClient) -> None:
    """The place in the queue comes first, then the reason and its parts, then the forecast."""
    await submit(api, "a", "d", data={"instances": [{"VCPU": 2}]})
    await api.put("/types/vm/hosts/h", json=HOST)
    explanation = (await api.get("/v1/vm/d/explain")).json()["data"]
    place = ["position", "jobs_of_its_shape_before"]
    assert [*explanation] == [*place, *WAITING_KEYS, "eta", "eta_accuracy"]
    assert [explanation[key] for key in place] == [2, 1]
    assert [*explanation["reason"]] == ["code", "text"]
    assert [*explanation["largest"]] == ["instances", "percent", "scaled"]
    assert [*explanation["eta"]] == ["p50", "p90", "reason"]
    assert [*explanation["eta_accuracy"]] == ["within_p90", "beyond_p90"]


async def test_a_forecast_has_its_keys_in_order(api: httpx.AsyncClient) -> None:
    """A job that was not submitted has the keys of an explanation, without a place."""
    await api.put("/types/vm/hosts/h", json=HOST)
    answer = await api.post("/types/vm/what-if", json={"data": {"instances": [{"VCPU": 2}]}})
    forecast = answer.json()["data"]
    assert [*forecast] == [*WAITING_KEYS, "impossible", "eta"]
    assert forecast["impossible"] is None
