"""Alternatives and counts over HTTP: what bodies become, and what answers and callbacks say."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from rq_broker.admission.granter import Granter
from rq_broker.api.submit import submission
from rq_broker.delivery.message import message_body
from rq_broker.domain.capacity import Host
from rq_broker.domain.choices import Elastic
from rq_broker.domain.errors import Invalid
from rq_broker.domain.jobs import Demand
from rq_broker.domain.traits import Traits, instance_of
from rq_broker.store.broker import Broker
from tests.api.conftest import BASE, demand_of, refused, submission as body_of

ONE, FOUR = (("VCPU", 1),), (("VCPU", 4),)
EITHER = {"instances": [{"A100": 8}], "alternatives": [{"instances": [{"H100": 4}]}]}


def test_alternatives_are_demands_of_their_own() -> None:
    """Each says all that it needs; equal alternatives in another order are another demand."""
    spread = {"instances": [{"VCPU": 4}] * 2, "spread": True, "require": ["A"]}
    demand = demand_of(
        **spread,
        alternatives=[{"instances": [{"VCPU": 4}, {"VCPU": 1}], "host_aggregate": "x"}],
        prefer_for=1.5,
    )
    first = Demand((FOUR, FOUR), spread=True, traits=Traits(("A",)))
    assert demand.options == (first, Demand((FOUR, ONE), "x"))
    assert demand.prefer_for == 1500
    assert demand_of(**spread, alternatives=[]) == first
    assert demand_of(**spread, alternatives=None, prefer_for=None) == first


def test_a_number_of_instances_is_so_many_of_them() -> None:
    """`count` spares a list: the demand is the same, and so are its shape and its digest."""
    demand = demand_of(instances=[{"VCPU": 4, "count": 2}, {"VCPU": 1}])
    assert demand == Demand((FOUR, FOUR, ONE))
    assert demand.is_plain
    assert demand_of(instances=[{"VCPU": 4, "count": 1}]) == Demand((FOUR,))
    twice = demand_of(instances=[{"VCPU": 4, "count": 2}] * 2)
    assert twice == Demand((FOUR,) * 4)
    own = demand_of(instances=[{"VCPU": 4, "count": 2, "forbid": ["X"]}])
    assert own.instances == (instance_of(FOUR, Traits((), ("X",))),) * 2


def test_a_range_of_instances_is_elastic() -> None:
    """The least stand in the list, at their place; as much more may be had as the most allows."""
    demand = demand_of(instances=[{"VCPU": 1}, {"VCPU": 4, "count": {"min": 2, "max": 8}}])
    assert demand == Demand((ONE, FOUR, FOUR), elastic=Elastic(1, 6))
    assert demand_of(instances=[{"VCPU": 4, "count": {"min": 2, "max": 2}}]).is_plain
    other = {"instances": [{"VCPU": 1, "count": {"min": 1, "max": 2}}]}
    with_other = demand_of(instances=[{"VCPU": 4}], alternatives=[other])
    assert with_other.alternatives == (Demand((ONE,), elastic=Elastic(0, 1)),)


A_RANGE = {"VCPU": 1, "count": {"min": 1, "max": 2}}


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"instances": [{"count": 4}]}, "data.instances[0] names no resource: count says how many"),
        ({"instances": [{"count": {"min": 1, "max": 2}}]}, "data.instances[0] names no resource"),
        (
            {"instances": [{"VCPU": 1, "count": 0}]},
            "data.instances[0].count must be a whole number from 1 to 1000, not 0",
        ),
        (
            {"instances": [{"VCPU": 1, "count": 1001}]},
            "data.instances[0].count must be a whole number from 1 to 1000, not 1001",
        ),
        ({"instances": [{"VCPU": 1, "count": ["x"]}]}, "data.instances[0].count must be a whole"),
        (
            {"instances": [{"VCPU": 1, "count": "2"}]},
            'data.instances[0].count must be a whole number from 1 to 1000, not "2"',
        ),
        (
            {"instances": [{"VCPU": 1, "count": {"min": 3, "max": 2}}]},
            "data.instances[0].count: min 3 is more than max 2",
        ),
        ({"instances": [{"VCPU": 1, "count": {"min": 3}}]}, "data.instances[0].count.max must be"),
        (
            {"instances": [{"VCPU": 1, "count": {"min": 1, "max": 2, "step": 1}}]},
            'the field of data.instances[0].count "step" is not known; known are min, max',
        ),
        (
            {"instances": [{"VCPU": {"min": 1, "max": 2}}]},
            'data.instances[0].VCPU must be a whole number from 0 to 2^53−1, not {"max":2,"min":1}',
        ),
        ({"instances": [A_RANGE] * 2}, "data.instances[1].count: only one kind of instance may"),
        (
            {"instances": [{"VCPU": 1, "count": 999}, A_RANGE]},
            "data.instances ask for 1001 instances, over 1000",
        ),
        (
            {"instances": [{"VCPU": 2**52, "count": {"min": 1, "max": 2}}]},
            "data.instances need 9007199254740992 VCPU in all, over 2^53−1",
        ),
        ({"instances": [{"VCPU": 1}], "prefer_for": 5}, "data.prefer_for goes with alternatives"),
        ({**EITHER, "prefer_for": -1}, "data.prefer_for must be seconds from 0"),
        ({"alternatives": [{"spread": False}]}, "data.alternatives[0].instances is required"),
        (
            {"alternatives": [{"instances": [{"VCPU": 1}], "prefer_for": 1}]},
            "data.alternatives[0].prefer_for is not known: it is a word of data alone",
        ),
        (
            {"alternatives": [{"instances": [{"VCPU": 1}], "alternatives": []}]},
            "data.alternatives[0].alternatives is not known",
        ),
        (
            {"alternatives": [{"instances": [{"VCPU": ["A"]}]}]},
            "data.alternatives[0].instances[0].VCPU must be a whole number",
        ),
        (
            {"alternatives": [{"instances": [{}], "require": ["A"], "forbid": ["A"]}]},
            'data.alternatives[0]: require and forbid both name "A"',
        ),
        (
            {"alternatives": [{"instances": [{}]}] * 11},
            "data.alternatives must be a list of at most 10 alternatives, not of 11",
        ),
    ],
)
async def test_what_is_no_choice_is_refused_by_name(
    api: httpx.AsyncClient, data: dict[str, Any], sentence: str
) -> None:
    """A mistake in a word is a 400 that names it, over HTTP and where a body is read."""
    with pytest.raises(Invalid) as error:
        submission(body_of(data=data), BASE)
    assert sentence in str(error.value)
    answer = await api.post("/v1/vm/", json=body_of(data=data))
    refused(answer, 400, "invalid_request", sentence)


async def test_a_resource_cannot_be_called_count(api: httpx.AsyncClient, broker: Broker) -> None:
    """A host that would have it is refused; where a source has one, a submit with count warns."""
    answer = await api.put("/types/vm/hosts/h1", json={"capacity": {"count": 4}})
    refused(answer, 400, "invalid_request", "capacity.count: no resource can be called so")
    await broker.set_host("vm", Host("h1", {"count": 4, "VCPU": 8}))
    counted = body_of(data={"instances": [{"VCPU": 1, "count": 4}], "alternatives": []})
    warning = (await api.post("/v1/vm/", json=counted)).json()["data"]["Warning"]
    assert warning.startswith("h1 has a resource that is called count, which no demand can ask for")
    array = {**counted, "request_id": "s", "callback": "s{n}", "count": 2}
    assert (await api.post("/v1/vm/", json=array)).json()["data"]["Warning"] == warning
    listed = body_of("e", callback="e", data={"instances": [{"VCPU": 1}] * 4, "count": 1})
    assert "Warning" not in (await api.post("/v1/vm/", json=listed)).json()["data"]


async def test_a_job_says_which_alternative_it_is(api: httpx.AsyncClient, broker: Broker) -> None:
    """Only while it is granted, and only of a job with alternatives: in answers and callbacks."""
    await api.put("/types/vm/hosts/h1", json={"capacity": {"H100": 8, "VCPU": 4}})
    await api.post("/v1/vm/", json=body_of(data=EITHER))
    plain = body_of("e", callback="e", data={"instances": [A_RANGE]})
    await api.post("/v1/vm/", json=plain)
    job = (await api.get("/v1/vm/d")).json()["data"]
    assert "Alternative" not in job
    explained = (await api.get("/v1/vm/d/explain")).json()["data"]
    assert (explained["hosts"], explained["alternative"]) == (["h1"], 1)
    assert await Granter(broker, "vm").run_once() == 2
    job = (await api.get("/v1/vm/d")).json()["data"]
    assert (job["Alternative"], job["Hosts"]) == (1, ["h1"])
    other = (await api.get("/v1/vm/e")).json()["data"]
    assert ("Alternative" in other, other["Hosts"]) == (False, ["h1", "h1"])
    for delivery in (await broker.claim("vm", 60.0, 10))[1]:
        sent = message_body(delivery.job, datetime.now(UTC)).decode()
        assert ('"Alternative":1' in sent) == (delivery.job.request_id == "d")
    listed = {job["RequestID"]: job for job in (await api.get("/v1/vm/")).json()["data"]}
    assert [name for name, job in listed.items() if "Alternative" in job] == ["d"]
    await api.post("/v1/vm/d", json={"status": "done"})
    assert "Alternative" not in (await api.get("/v1/vm/d")).json()["data"]


async def test_answers_say_what_each_alternative_lacks(api: httpx.AsyncClient) -> None:
    """The warning at submit, the reason, explain and what-if know all alternatives."""
    await api.put("/types/vm/hosts/h1", json={"capacity": {"A100": 4, "H100": 2}})
    answer = await api.post("/v1/vm/", json=body_of(data=EITHER))
    lacking = (
        "alternative 0: no host could ever hold this: needs A100 8 on one host; the largest is 4 "
        "on h1; alternative 1: no host could ever hold this: needs H100 4 on one host; the largest "
        "is 2 on h1"
    )
    assert answer.json()["data"]["Warning"] == lacking
    assert (await api.get("/v1/vm/d")).json()["data"]["Reason"].startswith(lacking)
    imagined = (await api.post("/types/vm/what-if", json={"data": EITHER})).json()["data"]
    assert (imagined["impossible"], imagined["reason"]["code"]) == (lacking, "impossible")
    await api.put("/types/vm/hosts/h1", json={"capacity": {"A100": 4, "H100": 4}})
    preferring = {**EITHER, "prefer_for": 3600}
    submitted = await api.post("/v1/vm/", json=body_of("e", callback="e", data=preferring))
    assert "Warning" not in submitted.json()["data"]
    reason = (await api.get("/v1/vm/e")).json()["data"]["Reason"]
    assert "other alternatives count from" in reason
    imagined = (await api.post("/types/vm/what-if", json={"data": preferring})).json()["data"]
    assert (imagined["impossible"], imagined["alternative"]) == (None, 0)
    assert "other alternatives count from" in imagined["reason"]["text"]


async def test_limits_and_hosts_may_each_refuse_one_alternative(api: httpx.AsyncClient) -> None:
    """A job is warned of if each alternative is refused by something, and not before."""
    await api.put("/types/vm/hosts/h1", json={"capacity": {"A100": 4, "H100": 8}})
    await api.put("/types/vm", json={"limits": {"*": {"H100": 4}}})
    first = await api.post("/v1/vm/", json=body_of(data=EITHER))
    assert "Warning" not in first.json()["data"]
    await api.put("/types/vm", json={"limits": {"*": {"H100": 3}}})
    second = await api.post("/v1/vm/", json=body_of("e", callback="e", data=EITHER))
    warning = second.json()["data"]["Warning"]
    assert warning.startswith("alternative 0: no host could ever hold this: needs A100 8")
    assert "; alternative 1: needs H100 4, but its owner" in warning


async def test_a_repeated_submit_is_the_same_with_the_same_alternatives(
    api: httpx.AsyncClient,
) -> None:
    """As with all of `data`: another alternative is another job."""
    await api.post("/v1/vm/", json=body_of(data=EITHER))
    again = (await api.post("/v1/vm/", json=body_of(data=EITHER))).json()
    assert again["same"] is True
    other = {**EITHER, "alternatives": [{"instances": [{"H100": 2}]}]}
    assert "same" not in (await api.post("/v1/vm/", json=body_of(data=other))).json()


def test_equal_alternatives_are_kept_apart() -> None:
    """The numbers of alternatives are those of the list, whatever stands in it."""
    data = {"instances": [{"VCPU": 1}], "alternatives": [{"instances": [{"VCPU": 1}]}] * 2}
    one = Demand((ONE,))
    assert demand_of(**data) == replace(one, alternatives=(one, one))
