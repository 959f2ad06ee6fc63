"""The values that the state machine draws: few names, so that they clash, some of them awkward."""

from __future__ import annotations

from hypothesis import strategies as st

from rq_broker.domain.jobs import Demand
from rq_broker.domain.sharing import Share
from rq_broker.domain.traits import Traits, instance_of
from rq_broker.domain.validation import MAX_WHOLE

TYPE = "v m:虛"
HOUR = 3600.0
KEPT_KEYS = [
    *(":events", ":wake", ":holding_times", ":destinations", ":answering", ":past_usage"),
    ":withdrawn",
]
"""The keys that every type keeps once all jobs and hosts are gone."""
NAMES = st.sampled_from(["a:b", "ü", "front", "0000000000000001:a:b"])
PICKS = st.integers(0, 11)
OWNERS = st.sampled_from(["o", "o/p:q"])
HOSTS = st.sampled_from(["h", "h:1"])
SPANS = st.sampled_from([0, None, HOUR])
AMOUNTS = st.dictionaries(st.sampled_from(["R", "R:x"]), st.integers(0, 3))
LABELS = st.fixed_dictionaries(
    {
        "aggregates": st.frozensets(st.sampled_from(["x", "x:y"])),
        "traits": st.frozensets(st.sampled_from(["T", "T:u"])),
        "anywhere": st.sampled_from([False, False, True]),
    }
)
DEMANDS = st.sampled_from(
    [
        Demand(((("R", 1),),)),
        Demand(((("R", 1), ("R:x", 1)),)),
        Demand(((("R", 1),), (("R", 2),))),
        Demand(((("R", 1),),), aggregate="x"),
        Demand(((("R", 1),),), any_aggregate=("x", "x:y"), traits=Traits(("T",), ("T:u",))),
        Demand((instance_of((("R", 1),), Traits(("T:u",))), (("R", 1),)), aggregate="x"),
    ]
)
PRIORITIES = st.one_of(
    st.none(), st.integers(-3, 3), st.sampled_from([MAX_WHOLE, MAX_WHOLE - 1, -MAX_WHOLE])
)
POLICIES = st.fixed_dictionaries(
    {},
    optional={
        "offer": SPANS,
        "running": SPANS,
        "retention": SPANS,
        "paused": st.sampled_from([False, False, True]),
        "share": st.sampled_from([None, "owner", Share("owner", 0.001, {"o": 2.0, "*": 0.5})]),
        "limits": st.sampled_from([{}, {"*": {"R": 2}}, {"o": {"R": 3, "R:x": 0}}]),
    },
)
