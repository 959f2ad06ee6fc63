"""`data` of a job: what it needs, as JSON gives it, and the Demand that it becomes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

from msgspec import Meta, Struct

from rq_broker.domain.capacity import ResourceName
from rq_broker.domain.errors import Invalid
from rq_broker.domain.jobs import Demand
from rq_broker.domain.traits import NO_TRAITS, Instance, Traits, instance_of, traits_of
from rq_broker.domain.validation import MAX_WHOLE, Count, Label, Text, show, whole_number

MOST_TRAITS = 100
"""Traits in one list, and aggregates: each costs a pass a little; real demands name a few."""
_TRAIT_WORDS = ("require", "forbid")
"""Words that an instance may have beside resources. They never collide with a resource of such a
name: its amount is a number, and theirs is a list."""


def _words(description: str, items: str = "traits") -> Meta:
    return Meta(max_length=MOST_TRAITS, description=description, extra={"items": items})


_OwnTraits = Annotated[list[Label], Meta(max_length=MOST_TRAITS, extra={"items": "traits"})]
_OTHER_NAMES = f"^(?!({'|'.join(_TRAIT_WORDS)})$)"
WantedInstance = Annotated[
    Mapping[ResourceName, Count | _OwnTraits],
    Meta(
        description="Resource → amount. `require` and `forbid` with a list name traits that the "
        "instance's host must have, or not; with a number they are resources like any other.",
        extra_json_schema={
            "patternProperties": {
                _OTHER_NAMES: {"type": "integer", "minimum": 0, "maximum": MAX_WHOLE}
            }
        },
    ),
]
"""One instance of `data` as it is given."""


class Data(Struct):
    """What a job needs. All other keys are kept for the callback, digit for digit."""

    instances: (
        Annotated[
            list[WantedInstance],
            Meta(
                min_length=1,
                max_length=1000,
                description="What each instance needs; left out: one instance of one slot.",
                extra={"items": "instances"},
            ),
        ]
        | None
    ) = None
    host_aggregate: Annotated[str, Text(255, may_be_empty=True).meta()] | None = None
    any_aggregate: (
        Annotated[
            list[Label],
            _words("Hosts of any of these, and of `host_aggregate` if given.", "aggregates"),
        ]
        | None
    ) = None
    require: Annotated[list[Label], _words("Traits that every host must have.")] | None = None
    forbid: Annotated[list[Label], _words("Traits that no host may have.")] | None = None
    spread: Annotated[bool, Meta(description="No two instances on one host.")] | None = None


# The demand

_ONE_SLOT: tuple[Instance, ...] = ((("Slots", 1),),)


def demand_of(data: Data) -> Demand:
    """Return the demand without zeros and with sorted resources: then equal demands are equal."""
    instances = _ONE_SLOT if data.instances is None else _instances(data.instances)
    any_aggregate = tuple(sorted(set(data.any_aggregate or ())))
    traits = _traits(data.require or (), data.forbid or (), "data")
    return Demand(instances, data.host_aggregate or None, bool(data.spread), any_aggregate, traits)


def _traits(require: Iterable[str], forbid: Iterable[str], place: str) -> Traits:
    """Return what to require and to forbid. Raises Invalid for a trait that is in both."""
    required, forbidden = set(require), set(forbid)
    for trait in sorted(required & forbidden):
        raise Invalid(f"{place}: require and forbid both name {show(trait)}")
    if not required and not forbidden:
        return NO_TRAITS
    return Traits(tuple(sorted(required)), tuple(sorted(forbidden)))


def _instances(wanted: Sequence[Mapping[str, Any]]) -> tuple[Instance, ...]:
    instances: list[Instance] = []
    total = 0
    for number, given in enumerate(wanted):
        if number and given == wanted[number - 1]:
            instances.append(instances[-1])
        elif list in map(type, given.values()):
            instances.append(_with_traits(given, f"data.instances[{number}]"))
        else:
            pairs = sorted(given.items())
            plain = [pair for pair in pairs if pair[1]] if 0 in given.values() else pairs
            instances.append(tuple(plain))
        total += sum([amount for _, amount in instances[-1]])
    if total > MAX_WHOLE:
        _check_totals(instances)
    return tuple(instances)


def _with_traits(given: Mapping[str, Any], place: str) -> Instance:
    """Read an instance that has a list among its values. Raises Invalid under any other name."""
    words = {name: given[name] for name in _TRAIT_WORDS if isinstance(given.get(name), list)}
    amounts = sorted((name, value) for name, value in given.items() if name not in words)
    for name, value in amounts:
        whole_number(value, f"{place}.{name}")
    traits = _traits(words.get("require", ()), words.get("forbid", ()), place)
    return instance_of([pair for pair in amounts if pair[1]], traits)


def _check_totals(instances: Iterable[Instance]) -> None:
    """Raise Invalid if Lua could not add up the amounts of a resource exactly."""
    totals: Counter[str] = Counter()
    for instance in instances:
        totals.update(dict(instance))
    for resource, amount in totals.items():
        if amount > MAX_WHOLE:
            raise Invalid(f"data.instances need {amount} {resource} in all, over 2^53−1")


def given_as(instance: Instance) -> dict[str, Any]:
    """Return an instance as `data` gives it."""
    traits = traits_of(instance)
    words = {name: list(getattr(traits, name)) for name in _TRAIT_WORDS if getattr(traits, name)}
    return {**dict(instance), **words}
