"""What `data` becomes: the words beside resources, and resources that have their names."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from rq_broker.api.instances import given_as
from rq_broker.api.submit import submission
from rq_broker.domain.errors import Invalid
from rq_broker.domain.jobs import Demand
from rq_broker.domain.traits import NO_TRAITS, Traits, instance_of, traits_of
from tests.api.conftest import BASE, demand_of, refused, submission as body_of

FOUR = (("VCPU", 4),)


def test_traits_and_aggregates_of_the_whole_demand() -> None:
    """Lists are sorted and free of repetitions, so that equal demands are one shape."""
    demand = demand_of(
        instances=[{"VCPU": 4}],
        require=["B", "A", "B"],
        forbid=["C"],
        any_aggregate=["y", "x", "y"],
        host_aggregate="z",
    )
    assert demand == Demand((FOUR,), "z", False, ("x", "y"), Traits(("A", "B"), ("C",)))


@pytest.mark.parametrize("empty", [None, []])
def test_no_names_are_no_demand(empty: Any) -> None:
    """A list that is empty or null says nothing: the demand keeps its text of version 2."""
    data = {"instances": [{"VCPU": 4}], "require": empty, "forbid": empty, "any_aggregate": empty}
    assert demand_of(**data).is_plain


def test_an_instance_has_traits_of_its_own() -> None:
    """A list under require or forbid belongs to the instance and is no resource of it."""
    fast, plain = demand_of(
        instances=[{"VCPU": 4, "require": ["AVX"], "forbid": ["SLOW"], "GPU": 0}, {"VCPU": 4}]
    ).instances
    assert fast == instance_of(FOUR, Traits(("AVX",), ("SLOW",)))
    assert dict(fast) == {"VCPU": 4}
    assert (plain, traits_of(plain)) == (FOUR, NO_TRAITS)
    assert given_as(fast) == {"VCPU": 4, "require": ["AVX"], "forbid": ["SLOW"]}


def test_a_resource_may_be_called_as_a_word() -> None:
    """With a number, require is a resource as before: an old client's jobs keep their shape."""
    demand = demand_of(instances=[{"require": 2, "forbid": 1}])
    assert demand.instances == ((("forbid", 1), ("require", 2)),)
    assert demand.is_plain


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"require": "AVX"}, 'data.require must be a list of at most 100 traits, not "AVX"'),
        ({"require": [1]}, "data.require[0] must be a string, not 1"),
        ({"forbid": [""]}, "data.forbid[0] must not be empty"),
        ({"require": ["A"] * 101}, "data.require must be a list of at most 100 traits, not of 101"),
        ({"any_aggregate": {}}, "data.any_aggregate must be a list of at most 100 aggregates"),
        ({"require": ["A"], "forbid": ["A"]}, 'data: require and forbid both name "A"'),
        (
            {"instances": [{"require": ["A"], "forbid": ["A"]}]},
            'data.instances[0]: require and forbid both name "A"',
        ),
        (
            {"instances": [{}, {"VCPU": ["A"]}]},
            'data.instances[1].VCPU must be a whole number from 0 to 2^53−1, not ["A"]',
        ),
        ({"instances": [{"require": [""]}]}, "data.instances[0].require[0] must not be empty"),
        ({"instances": [{"require": [2]}]}, "data.instances[0].require[0] must be a string"),
        ({"instances": [{"require": "A"}]}, "data.instances[0].require must be a list"),
    ],
)
async def test_what_is_no_word_is_refused_by_name(
    api: httpx.AsyncClient, data: dict[str, Any], sentence: str
) -> None:
    """A mistyped word is a 400 that names it, over HTTP and where a body is read."""
    with pytest.raises(Invalid) as error:
        submission(body_of(data=data), BASE)
    assert sentence in str(error.value)
    answer = await api.post("/v1/vm/", json=body_of(data=data))
    refused(answer, 400, "invalid_request", sentence)


async def test_a_demand_of_traits_over_http(api: httpx.AsyncClient) -> None:
    """Submit, reason and what-if take the words, and say which traits are missing."""
    slow = {"capacity": {"VCPU": 8}, "traits": ["SLOW"]}
    await api.put("/types/vm/hosts/h1", json=slow)
    data = {"instances": [{"VCPU": 4, "require": ["AVX"]}], "forbid": ["SLOW"]}
    answer = await api.post("/v1/vm/", json=body_of(data=data))
    assert answer.json()["data"]["Warning"] == "there is no known host without trait SLOW"
    job = (await api.get("/v1/vm/d")).json()["data"]
    assert job["Reason"].startswith("there is no known host without trait SLOW")
    imagined = (await api.post("/types/vm/what-if", json={"data": {**data, "forbid": []}})).json()
    text = imagined["data"]["reason"]["text"]
    assert text.startswith("there is no known host with the instance's trait AVX")
    await api.put("/types/vm/hosts/h1", json={"capacity": {"VCPU": 8}, "traits": ["AVX"]})
    assert (await api.get("/v1/vm/d/explain")).json()["data"]["hosts"] == ["h1"]
