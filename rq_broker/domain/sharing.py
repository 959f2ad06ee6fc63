"""How capacity is shared between owners: the policy's `share`, and what an owner used.

What an owner used is an exponential average of what its jobs held: after one half-life of holding
nothing, half of it is left. The average has the unit of the amounts, so both can be added.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, NamedTuple

from msgspec import UNSET, Meta, Struct, UnsetType

from rq_broker.domain.validation import LONGEST_SPAN, OwnerOrAll

DEFAULT_HALF_LIFE = 86400.0
"""Seconds. An owner that filled a night is not forgotten by noon, and one that filled a weekend
does not pay for all of the next week. On a log, six hours and a week did about as well
(docs/measured.md)."""

Weight = Annotated[float, Meta(gt=0, le=1_000_000, extra={"noun": "a number"})]


class Share(Struct, frozen=True, forbid_unknown_fields=True):
    """Jobs without a priority of their own are ordered by what their owner used for its weight."""

    by: Literal["owner"]
    half_life: Annotated[
        float,
        Meta(
            gt=0,
            le=LONGEST_SPAN,
            description="Seconds after which half of what an owner used is forgotten.",
        ),
    ] = DEFAULT_HALF_LIFE
    weights: Annotated[
        Mapping[OwnerOrAll, Weight],
        Meta(description="Owner, or `*` for every other, to its weight; 1 where not listed."),
    ] = {}

    def weight(self, owner: str) -> float:
        """Return the owner's weight."""
        return self.weights.get(owner, self.weights.get("*", 1.0))


class SharePatch(Struct, frozen=True, forbid_unknown_fields=True):
    """What a JSON Merge Patch names of a share; null removes it."""

    by: Literal["owner"] | UnsetType = UNSET
    half_life: Annotated[float, Meta(gt=0, le=LONGEST_SPAN)] | UnsetType | None = UNSET
    weights: Mapping[OwnerOrAll, Weight | None] | UnsetType | None = UNSET


class Average(NamedTuple):
    """What an owner held of a resource on average, as it was at a moment."""

    amount: float
    since: float
    """Seconds since 1970. What the owner holds has not changed since then."""

    def at(self, now: float, held: float, half_life: float) -> float:
        """Return the average at `now`, if the owner holds `held` since."""
        faded: float = 0.5 ** (max(now - self.since, 0.0) / half_life)
        return held + (self.amount - held) * faded
