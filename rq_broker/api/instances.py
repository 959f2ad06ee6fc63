"""The instances of a demand, as JSON gives them: amounts of resources, and words beside them.

A word never collides with a resource: `require` and `forbid` are words if they are lists, and
resources if they are numbers. `count` is always a word, so no resource can have its name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta, Struct

from rq_broker.domain.capacity import COUNT, ResourceName
from rq_broker.domain.choices import Elastic
from rq_broker.domain.errors import Invalid
from rq_broker.domain.traits import NO_TRAITS, Instance, Traits, instance_of, traits_of
from rq_broker.domain.validation import MAX_WHOLE, Count, Label, show, whole_number

MOST_INSTANCES = 1000
"""Instances of one job: each may be on a host of its own, which one script checks and holds."""
MOST_TRAITS = 100
"""Traits in one list, and aggregates: each costs a pass a little; real demands name a few."""
_TRAIT_WORDS = ("require", "forbid")
"""Words that an instance may have beside resources. They never collide with a resource of such a
name: its amount is a number, and theirs is a list."""

_HOW_MANY = {"minimum": 1, "maximum": MOST_INSTANCES}
HowMany = Annotated[int, Meta(ge=1, le=MOST_INSTANCES)]


class CountRange(Struct, forbid_unknown_fields=True):
    """How many instances of a kind: as many as fit."""

    min: Annotated[HowMany, Meta(description="Without so many the job is not granted.")]
    max: Annotated[HowMany, Meta(description="It is granted no more than so many.")]


_OwnTraits = Annotated[list[Label], Meta(max_length=MOST_TRAITS, extra={"items": "traits"})]
_OTHER_NAMES = f"^(?!({'|'.join((*_TRAIT_WORDS, COUNT))})$)"
WantedInstance = Annotated[
    Mapping[ResourceName, Count | _OwnTraits | CountRange],
    Meta(
        description="Resource → amount. `require` and `forbid` with a list name traits that the "
        "instance's host must have, or not; with a number they are resources like any other. "
        "`count` says how many instances like this there are: a number, or `min` and `max`.",
        extra={"words": {**dict.fromkeys(_TRAIT_WORDS, _OwnTraits), COUNT: HowMany}},
        extra_json_schema={
            "patternProperties": {
                _OTHER_NAMES: {"type": "integer", "minimum": 0, "maximum": MAX_WHOLE}
            },
            "allOf": [
                {"properties": {word: {"not": {"type": "object"}} for word in _TRAIT_WORDS}},
                {"properties": {COUNT: {"type": ["integer", "object"], **_HOW_MANY}}},
                {"if": {"required": [COUNT]}, "then": {"minProperties": 2}},
            ],
        },
    ),
]
"""One kind of instance of `data` as it is given."""


class Instances(NamedTuple):
    """What a list of instances becomes."""

    least: tuple[Instance, ...]
    """Those that are needed in any case, in order."""
    elastic: Elastic | None
    """Which of them the job takes more of."""


def read_instances(wanted: Sequence[Mapping[str, Any]], place: str) -> Instances:
    """Return what a list of instances asks for; `place` is what sentences call it."""
    instances: list[Instance] = []
    elastic: Elastic | None = None
    total = 0
    for number, given in enumerate(wanted):
        if COUNT in given:
            where = f"{place}[{number}]"
            least, most = _count(given, where)
            kind = _instance({k: v for k, v in given.items() if k != COUNT}, where)
            if most > least:
                if elastic:
                    raise Invalid(f"{where}.count: only one kind of instance may have a range")
                elastic = Elastic(len(instances), most - least)
            instances += [kind] * least
            total += sum([amount for _, amount in kind]) * most
        else:
            if number and given == wanted[number - 1]:
                instances.append(instances[-1])
            else:
                instances.append(_instance(given, f"{place}[{number}]"))
            total += sum([amount for _, amount in instances[-1]])
    _check_totals(instances, elastic, total, place)
    return Instances(tuple(instances), elastic)


def _instance(given: Mapping[str, Any], place: str) -> Instance:
    if {list, CountRange}.isdisjoint(map(type, given.values())):
        pairs = sorted(given.items())
        return tuple([pair for pair in pairs if pair[1]] if 0 in given.values() else pairs)
    return _with_traits(given, place)


def _count(given: Mapping[str, Any], place: str) -> tuple[int, int]:
    """Return how many instances of a kind there are at least, and at most."""
    count = given[COUNT]
    if len(given) == 1:
        raise Invalid(
            f"{place} names no resource: count says how many instances there are, and no resource "
            "can have its name"
        )
    if isinstance(count, CountRange):
        if count.min > count.max:
            raise Invalid(f"{place}.count: min {count.min} is more than max {count.max}")
        return count.min, count.max
    least = whole_number(count, f"{place}.count", 1, MOST_INSTANCES)
    return least, least


def _with_traits(given: Mapping[str, Any], place: str) -> Instance:
    """Read an instance that has a list among its values. Raises Invalid under any other name."""
    words = {name: given[name] for name in _TRAIT_WORDS if isinstance(given.get(name), list)}
    amounts = sorted((name, value) for name, value in given.items() if name not in words)
    for name, value in amounts:
        whole_number(msgspec.to_builtins(value), f"{place}.{name}")
    traits = read_traits(words.get("require", ()), words.get("forbid", ()), place)
    return instance_of([pair for pair in amounts if pair[1]], traits)


def read_traits(require: Iterable[str], forbid: Iterable[str], place: str) -> Traits:
    """Return what to require and to forbid. Raises Invalid for a trait that is in both."""
    required, forbidden = set(require), set(forbid)
    for trait in sorted(required & forbidden):
        raise Invalid(f"{place}: require and forbid both name {show(trait)}")
    if not required and not forbidden:
        return NO_TRAITS
    return Traits(tuple(sorted(required)), tuple(sorted(forbidden)))


def _check_totals(
    instances: Sequence[Instance], elastic: Elastic | None, total: int, place: str
) -> None:
    """Raise Invalid for too many instances, or if Lua could not add up a resource exactly."""
    count = len(instances) + (elastic.more if elastic else 0)
    if count > MOST_INSTANCES:
        raise Invalid(f"{place} ask for {count} instances, over {MOST_INSTANCES}")
    if total <= MAX_WHOLE:
        return
    totals: Counter[str] = Counter()
    for instance in instances:
        totals.update(dict(instance))
    for resource, amount in instances[elastic.index] if elastic else ():
        totals[resource] += amount * (elastic.more if elastic else 0)
    for resource, amount in totals.items():
        if amount > MAX_WHOLE:
            raise Invalid(f"{place} need {amount} {resource} in all, over 2^53−1")


def given_as(instance: Instance) -> dict[str, Any]:
    """Return an instance as `data` gives it."""
    traits = traits_of(instance)
    words = {name: list(getattr(traits, name)) for name in _TRAIT_WORDS if getattr(traits, name)}
    return {**dict(instance), **words}
