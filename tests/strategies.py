"""The values that the state machine draws: few names, so that they clash, some of them awkward."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import HealthCheck, settings, strategies as st

from rq_broker.domain.choices import Elastic
from rq_broker.domain.jobs import Demand
from rq_broker.domain.sharing import Share
from rq_broker.domain.terms import Terms
from rq_broker.domain.traits import Traits, instance_of
from rq_broker.domain.validation import MAX_WHOLE
from tests.model_job import FAR

TYPE = "v m:虛"
HOUR = 3600.0
KEPT_KEYS = [
    *(":events", ":wake", ":holding_times", ":destinations", ":answering", ":past_usage"),
    *(":withdrawn", ":sources", ":source:lab"),
]
"""The keys that every type keeps once all jobs and hosts are gone."""
ARRAY = "s"
"""The name of each owner's array."""
OWNED = {
    "a:b": ("o", "a:b"),
    "ü": ("o/p:q", "a:b"),
    "front": ("o", "front"),
    "0000000000000001:a:b": ("o/p:q", "s[1]"),
    "s[0]": ("o", "s[0]"),
}
"""The names of jobs, some of an array's; and whose job with which name each is, if names are per
owner."""
NAMES = st.sampled_from([*OWNED])
PLACES = st.one_of(
    st.tuples(st.sampled_from(["before", "after"]), NAMES),
    st.tuples(st.just("position"), st.sampled_from(["front", "back"])),
    st.tuples(st.just("place"), st.sampled_from("1234")),
)
"""How a job is moved within the line."""
PICKS = st.integers(0, 11)
OWNERS = st.sampled_from(["o", "o/p:q"])
HOSTS = st.sampled_from(["h", "h:1"])
PLANNED_HOSTS = st.sampled_from(["h", "h:1", "s"])
"""With that of the source."""
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
        Demand(((("R", 1),),), elastic=Elastic(0, 2)),
        Demand(((("R", 2),),), aggregate="x", alternatives=(Demand(((("R:x", 1),), (("R", 1),))),)),
        Demand(
            ((("R", 3),),),
            alternatives=(
                Demand(((("R", 1),),), traits=Traits(("T",))),
                Demand(((("R:x", 1),), (("R", 1),)), elastic=Elastic(1, 1)),
            ),
            prefer_for=round(HOUR * 1000),
        ),
    ]
)
SMALL = Demand(((("R", 1),),))
ANSWERS = st.lists(
    st.sampled_from(["missed", "missed", "missed", "running", "queued", "error"]),
    min_size=1,
    max_size=5,
)
"""What a client does with the offers to one job, one after the other."""
PRIORITIES = st.one_of(
    st.none(), st.integers(-3, 3), st.sampled_from([MAX_WHOLE, MAX_WHOLE - 1, -MAX_WHOLE])
)
TERMS = st.one_of(
    st.just(Terms()),
    st.builds(
        Terms,
        not_before=st.sampled_from([None, None, 1, FAR]),
        give_up_after=st.sampled_from([None, HOUR]),
        hold_at_most=st.sampled_from([None, HOUR]),
        after=st.lists(NAMES, unique=True, max_size=2).map(tuple),
        after_any=st.booleans(),
    ),
)
POLICIES = st.fixed_dictionaries(
    {},
    optional={
        "offer": SPANS,
        "running": SPANS,
        "retention": SPANS,
        "paused": st.sampled_from([False, False, True]),
        "holds": st.sampled_from(["until_seen", "until_seen", "until_done"]),
        "share": st.sampled_from([None, "owner", Share("owner", 0.001, {"o": 2.0, "*": 0.5})]),
        "limits": st.sampled_from([{}, {"*": {"R": 2}}, {"o": {"R": 3, "R:x": 0}}]),
    },
)


class Plan(NamedTuple):
    """What a granter planned for a job, perhaps wrongly."""

    hosts: tuple[str, ...]
    """More than any grant needs."""
    alternative: int
    more: int
    """How many instances more than the least, where the demand leaves a choice."""
    wrong: tuple[int, int]
    """By how much ID and priority are wrong."""
    is_fresh: bool
    """Whether it is on the state of now."""


PLANS = st.builds(
    Plan,
    st.lists(PLANNED_HOSTS, min_size=3, max_size=3).map(tuple),
    st.sampled_from([0, 0, 1, 2]),
    st.sampled_from([0, 0, 1, -1]),
    st.sampled_from([*[(0, 0)] * 6, (1, 0), (0, 1)]),
    st.sampled_from([True, True, True, False]),
)


def machine_settings(examples: int, steps: int) -> settings:
    """Return the settings of a run of the state machine."""
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
