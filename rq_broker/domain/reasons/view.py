"""How a reason is written in JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, Self

from msgspec import UNSET, Meta, Struct, UnsetType

from rq_broker.domain.reasons.codes import ReasonCode, ReasonKind
from rq_broker.domain.reasons.values import (
    Anywhere,
    HeldByNobody,
    Lack,
    Lead,
    Reserved,
    SourceTrouble,
    Unserved,
    Where,
)

if TYPE_CHECKING:
    from rq_broker.domain.reasons.reason import Reason

_Time = Annotated[float, Meta(description="Unix time.")]


class ReasonView(Struct, frozen=True, forbid_unknown_fields=True):
    """Why, as values. Which of them there are, `code` and `kind` say: see Admission."""

    code: Annotated[ReasonCode, Meta(description="A stable word. New ones may be added.")]
    text: Annotated[str, Meta(description="The sentence, made of the other values.")]
    kind: Annotated[
        ReasonKind | UnsetType, Meta(description="Which sentence, where a code has several.")
    ] = UNSET
    resource: str | UnsetType = UNSET
    needed: int | UnsetType = UNSET
    free: Annotated[int | UnsetType, Meta(description="The most that there is; may be < 0.")] = (
        UNSET
    )
    host: Annotated[str | UnsetType, Meta(description="Where that is.")] = UNSET
    lacks: Annotated[
        tuple[Lack, ...] | UnsetType, Meta(description="What `host` has too little of.")
    ] = UNSET
    where: Annotated[Where | UnsetType, Meta(description="Which hosts it may use; none: any.")] = (
        UNSET
    )
    similar: Annotated[
        tuple[str, ...] | UnsetType, Meta(description="Known names like the unknown one.")
    ] = UNSET
    anywhere: Annotated[
        Anywhere | UnsetType, Meta(description="A resource that needs an instance of its own.")
    ] = UNSET
    largest: Annotated[int | UnsetType, Meta(description="What the largest device has.")] = UNSET
    devices_needed: int | UnsetType = UNSET
    devices_free: int | UnsetType = UNSET
    instance: Annotated[
        dict[str, int] | UnsetType, Meta(description="Resource → amount of each instance.")
    ] = UNSET
    count: Annotated[int | UnsetType, Meta(description="How many of these are needed.")] = UNSET
    fits: Annotated[int | UnsetType, Meta(description="How many of these would fit.")] = UNSET
    others: Annotated[
        int | UnsetType, Meta(description="Instances of other kinds that are needed besides.")
    ] = UNSET
    spread: Annotated[bool | UnsetType, Meta(description="Each on a host of its own.")] = UNSET
    at_least: Annotated[bool | UnsetType, Meta(description="It takes more than `count`.")] = UNSET
    owner: Annotated[str | UnsetType, Meta(description="Of the job; empty: none.")] = UNSET
    limit: int | UnsetType = UNSET
    held: int | UnsetType = UNSET
    kept: Annotated[
        int | UnsetType, Meta(description="Kept for an earlier job of the same owner.")
    ] = UNSET
    destination: str | UnsetType = UNSET
    until: _Time | UnsetType = UNSET
    job: Annotated[
        str | UnsetType,
        Meta(description="The earlier job; left out where it is not named to you."),
    ] = UNSET
    passed_since: Annotated[
        float | UnsetType, Meta(description="When later jobs first passed that one, Unix time.")
    ] = UNSET
    hosts: Annotated[
        tuple[str, ...] | UnsetType, Meta(description="Hosts that are kept for that job.")
    ] = UNSET
    left: Annotated[int | UnsetType, Meta(description="Jobs that have not ended yet.")] = UNSET
    jobs: Annotated[int | UnsetType, Meta(description="Jobs that it comes after.")] = UNSET
    any_end: Annotated[
        bool | UnsetType, Meta(description="Any end of these will do, not only `done`.")
    ] = UNSET
    array: str | UnsetType = UNSET
    source: str | UnsetType = UNSET
    servers: tuple[str, ...] | UnsetType = UNSET
    seconds: float | UnsetType = UNSET
    expected: Annotated[
        float | UnsetType, Meta(description="Seconds that it said it would hold.")
    ] = UNSET
    unheld: tuple[HeldByNobody, ...] | UnsetType = UNSET
    attempts: Annotated[
        int | UnsetType, Meta(description="Attempts to call it back that failed.")
    ] = UNSET
    cause: Annotated[
        str | UnsetType, Meta(description="Why the last one failed, as `/attempts` has it.")
    ] = UNSET
    alternatives: Annotated[
        tuple[ReasonView, ...] | UnsetType, Meta(description="The reason of each, in order.")
    ] = UNSET
    alternatives_from: Annotated[
        float | UnsetType, Meta(description="When further ones count, Unix time.")
    ] = UNSET
    after_earlier: Annotated[
        bool | UnsetType,
        Meta(description="What earlier jobs are about to get is taken off what is free."),
    ] = UNSET
    reserved: Reserved | UnsetType = UNSET
    lead: Lead | UnsetType = UNSET
    sources: Annotated[
        tuple[SourceTrouble, ...] | UnsetType,
        Meta(description="Sources whose figures may be wrong."),
    ] = UNSET
    unserved: Unserved | UnsetType = UNSET

    @classmethod
    def of(cls, reason: Reason) -> ReasonView:
        """Build the view of a reason."""
        fields = _written(reason, reason.keys)
        kind = UNSET if reason.kind is None else reason.kind
        return cls(reason.code, reason.text, kind, **fields)

    @classmethod
    def of_any(cls, reason: Reason | None) -> ReasonView | None:
        """Build the view of a reason; None for none."""
        return None if reason is None else cls.of(reason)


class SentenceAndValues(NamedTuple):
    """A reason for an answer that tells it in both forms: each is None for no reason."""

    sentence: str | None
    values: ReasonView | None

    @classmethod
    def of(cls, reason: Reason | None) -> Self:
        """Build both, and the sentence once: it takes more time than all other values."""
        view = ReasonView.of_any(reason)
        return cls(None if view is None else view.text, view)


def _written(reason: Reason, keys: Iterable[str]) -> Mapping[str, Any]:
    values: dict[str, Any] = {key: getattr(reason, key) for key in keys}
    if "instance" in values:
        values["instance"] = dict(reason.instance)
    if "alternatives" in values:
        values["alternatives"] = tuple(map(ReasonView.of, reason.alternatives))
    return values
