"""Traits: what a host is like beside its amounts, and which of it a demand wants or refuses.

A demand names traits for all its instances, and an instance may name some of its own. What an
instance has of its own is part of it: two instances of equal amounts and different traits are
different kinds. So everything that tells instances apart tells these apart as well, and an instance
without traits stays the plain tuple that it was.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from msgspec import Struct

Amount = tuple[str, int]
"""A resource and how much of it."""


class Traits(Struct, frozen=True):
    """Traits that a host must have, and those that it must not have; each list sorted."""

    require: tuple[str, ...] = ()
    forbid: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Return whether it names any trait."""
        return bool(self.require or self.forbid)

    def admit(self, traits: frozenset[str]) -> bool:
        """Return whether a host with these traits will do."""
        return traits.issuperset(self.require) and traits.isdisjoint(self.forbid)

    @property
    def count(self) -> int:
        """How many traits it names."""
        return len(self.require) + len(self.forbid)


NO_TRAITS = Traits()


class Labelled(Protocol):
    """What of a host decides whether a demand may use it at all."""

    @property
    def aggregates(self) -> frozenset[str]:
        """The aggregates that it is in."""

    @property
    def traits(self) -> frozenset[str]:
        """The traits that it has."""

    @property
    def anywhere(self) -> bool:
        """Whether it is no place, see Host.anywhere."""


class TraitedInstance(tuple[Amount, ...]):
    """One instance with traits of its own: its amounts, which it equals only if both are equal."""

    traits: Traits

    def __new__(cls, amounts: Iterable[Amount], traits: Traits) -> TraitedInstance:
        """Build an instance of sorted (resource, amount > 0) pairs."""
        instance = super().__new__(cls, amounts)
        instance.traits = traits
        return instance

    def __eq__(self, other: object) -> bool:
        return super().__eq__(other) and traits_of(self) == traits_of(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash((tuple(self), self.traits))

    def __repr__(self) -> str:
        return f"TraitedInstance({tuple(self)!r}, {self.traits!r})"


Instance = tuple[Amount, ...]
"""One instance of a demand: its (resource, amount > 0) pairs sorted; perhaps a TraitedInstance."""


def instance_of(amounts: Iterable[Amount], traits: Traits = NO_TRAITS) -> Instance:
    """Build an instance, a plain tuple where it has no traits of its own."""
    return TraitedInstance(amounts, traits) if traits else tuple(amounts)


def traits_of(instance: object) -> Traits:
    """Return the traits that an instance names for itself."""
    return instance.traits if isinstance(instance, TraitedInstance) else NO_TRAITS
