"""The words a waiting job is given."""

from rq_broker.domain.policy import Policy
from rq_broker.planner import ReasonCode, could_ever_fit, plan
from rq_broker.planner.explaining import explain
from tests.planner.oracle import demand, host, need, waiting, world


def why(hosts, wants, **rest):
    return plan(world(hosts, [waiting("a", wants, 1)], **rest)).reasons["a"]


def gpu(name, capacity, held):
    return host(name, {"VCPU": capacity}, "gpu", held={"VCPU": held})


def test_the_reason_names_resource_amount_aggregate_and_best_host():
    """The sentence the issue gives, word for word, and its numbers in fields."""
    hosts = [gpu("gpu-1", 8, 6), gpu("gpu-2", 8, 4), host("h3", {"VCPU": 64})]
    reason = why(hosts, demand(need(VCPU=8), aggregate="gpu"))
    assert reason.code is ReasonCode.NO_FIT
    assert reason.text == ("needs VCPU 8 on one host of aggregate gpu; the most free is 4 on gpu-2")
    (lack,) = reason.shortfalls
    assert (lack.host, lack.resource, lack.needed, lack.free) == ("gpu-2", "VCPU", 8, 4)


def test_two_resources_short_on_the_closest_host_are_both_named():
    """No single culprit: the closest host is named with all it lacks."""
    hosts = [host("h1", {"VCPU": 8, "Memory": 8}, held={"VCPU": 6, "Memory": 5})]
    text = why(hosts, demand(need(VCPU=4, Memory=4))).text
    assert (
        text == "needs Memory 4 and VCPU 4 on one host; the closest is h1 with Memory 3 and VCPU 2"
    )


def test_a_gang_is_told_how_many_would_fit():
    """Each instance fits somewhere, not all at once."""
    hosts = [gpu("h1", 8, 0), gpu("h2", 8, 4)]
    text = why(hosts, demand(*[need(VCPU=4)] * 4, spread=False)).text
    assert text == "needs 4 instances of VCPU 4 at once; 3 would fit"
    text = why([gpu("h1", 8, 0), gpu("h2", 8, 6)], demand(*[need(VCPU=4)] * 2, spread=True)).text
    assert text == "needs 2 instances of VCPU 4, each on a host of its own, at once; 1 would fit"


def test_mixed_instances_that_only_fit_one_by_one_are_told_so():
    """Every kind would fit alone, but not beside the others."""
    hosts = [gpu("h1", 8, 0)]
    held = [host("h1", {"VCPU": 8, "GPU": 1}, held={"VCPU": 2})]
    text = why(held, demand(need(VCPU=5), need(VCPU=3))).text
    assert text == "needs 1 instance of VCPU 5 and 1 other at once; not all would fit"
    assert could_ever_fit({"h1": hosts[0]}, demand(need(VCPU=5), need(VCPU=3))) is None


def test_impossible_demands_are_told_what_the_largest_host_has():
    """Judged by capacity of hosts in service, whatever is used or held."""
    hosts = {
        "h1": host("h1", {"VCPU": 4}, held={"VCPU": 4}),
        "h2": host("h2", {"VCPU": 64}, dropped=True),
    }
    reason = could_ever_fit(hosts, demand(need(VCPU=8)))
    assert reason is not None
    assert reason.text == (
        "no host could ever hold this: needs VCPU 8 on one host; the largest is 4 on h1"
    )
    assert could_ever_fit(hosts, demand(need(VCPU=4))) is None
    nowhere = could_ever_fit(hosts, demand(need(VCPU=1), aggregate="gpu"))
    assert nowhere is not None
    assert nowhere.text == "there is no host of aggregate gpu"
    gang = could_ever_fit(hosts, demand(need(VCPU=3), need(VCPU=3)))
    assert gang is not None
    assert "needs 2 instances of VCPU 3 at once; 1 would fit" in gang.text


def test_a_resource_no_host_has_is_said_to_be_unknown():
    """The reason names the resource, and one that differs by case only if there is such a one."""
    hosts = {
        "h1": host("h1", {"VCPU": 4, "GPU": 1}, "gpu"),
        "h2": host("h2", {"VCPU": 4, "FPGA": 0}),
    }
    said = {}
    for resource in ("gpu", "FPGA"):
        reason = could_ever_fit(hosts, demand(need(VCPU=9, **{resource: 2})))
        assert reason is not None
        assert reason.code is ReasonCode.IMPOSSIBLE
        said[resource] = reason.text
    assert said == {
        "gpu": "no host could ever hold this: needs gpu 2, but no host has gpu; did you mean GPU?",
        "FPGA": "no host could ever hold this: needs FPGA 2, but no host has FPGA",
    }
    elsewhere = could_ever_fit(hosts, demand(need(FPGA=1), aggregate="gpu"))
    assert elsewhere is not None
    assert "but no host of aggregate gpu has FPGA" in elsewhere.text


def test_explain_gives_the_largest_version_that_would_be_granted():
    """Instances counted from the first, and all amounts scaled to a percent."""
    hosts = [gpu("h1", 8, 2), gpu("h2", 8, 3)]
    told = explain(world(hosts, [waiting("a", demand(*[need(VCPU=4)] * 3), 1)]), "a")
    assert told.largest is not None
    assert told.largest.instances == 2
    assert told.largest.percent == 99
    assert told.largest.demand == demand(*[need(VCPU=3)] * 3)
    assert told.hosts == ("h1", "h2")
    assert [(lack.needed, lack.free) for lack in told.shortfalls] == [(8, 6)]


def test_explain_of_a_job_that_would_be_granted_names_its_hosts():
    """No reason, and the hosts a pass would give it."""
    told = explain(world([gpu("h1", 8, 2)], [waiting("a", demand(need(VCPU=4)), 1)]), "a")
    assert (told.request_id, told.hosts, told.reason) == ("r1", ("h1",), None)


def test_explain_respects_the_owners_cap_and_what_helps_at_all():
    """The largest version stays under the cap; paused and closed have none."""
    entry = [waiting("a", demand(need(VCPU=4), need(VCPU=4)), 1)]
    hosts = [gpu("h1", 64, 0)]
    capped = explain(world(hosts, entry, policy=Policy(limits={"*": {"VCPU": 6}})), "a")
    assert capped.reason is not None
    assert capped.reason.code is ReasonCode.OWNER_LIMIT
    assert capped.largest is not None
    assert (capped.largest.instances, capped.largest.percent) == (1, 99)
    tight = explain(world(hosts, entry, policy=Policy(limits={"*": {"VCPU": 3}})), "a")
    assert tight.largest is not None
    assert (tight.largest.instances, tight.largest.percent) == (0, 49)
    paused = explain(world(hosts, entry, policy=Policy(paused=True)), "a")
    closed = explain(world(hosts, entry, closed=frozenset({"http://here"})), "a")
    assert paused.largest is None
    assert closed.largest is None


def test_explain_behind_strict_order_offers_no_smaller_version():
    """Hosts shut by an earlier job are shut to any size of a later one, not to the earlier one."""
    line = [waiting("big", demand(need(VCPU=8)), 1), waiting("small", demand(need(VCPU=2)), 2)]
    snapshot = world([gpu("h1", 8, 4)], line, policy=Policy(patience=0.0))
    small, big = explain(snapshot, "small").largest, explain(snapshot, "big").largest
    assert small is not None
    assert (small.instances, small.percent, small.demand) == (0, 0, None)
    assert big is not None
    assert big.demand == demand(need(VCPU=4))
