"""The objects that a reason holds beside its plain values, as they are in JSON."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

MOST_LISTED = 50
"""Hosts, or jobs, that a reason lists: bounds its size. Their number is told beside."""


class Lack(Struct, frozen=True, forbid_unknown_fields=True):
    """A resource of which a host has too little."""

    resource: str
    needed: int
    free: int


class HeldByNobody(Struct, frozen=True, forbid_unknown_fields=True):
    """A part of a grant that is neither held nor used."""

    host: str
    resource: str
    amount: int


class Where(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which hosts a demand may use; without keys: any."""

    aggregate: str = ""
    any_aggregate: Annotated[
        tuple[str, ...], Meta(description="Aggregates of which any one will do.")
    ] = ()
    require: Annotated[tuple[str, ...], Meta(description="Traits that they must have.")] = ()
    forbid: Annotated[tuple[str, ...], Meta(description="Traits that they must not have.")] = ()
    instance_require: Annotated[
        tuple[str, ...], Meta(description="The same, of the one instance.")
    ] = ()
    instance_forbid: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Return whether it leaves any host out."""
        return self != ANY


ANY = Where()


class Anywhere(Struct, frozen=True, forbid_unknown_fields=True):
    """A resource that is at no host but anywhere in the type, and its name there."""

    resource: str
    host: str


class Reserved(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The capacity that is reserved for the job, and what it waits for."""

    hosts: Annotated[
        tuple[str, ...], Meta(description=f"The first {MOST_LISTED}, in alphabetical order.")
    ]
    host_count: int
    start: Annotated[
        float | None,
        Meta(description="From when on, Unix time; none: they are kept until it starts."),
    ] = None
    waits_for: Annotated[
        tuple[str, ...],
        Meta(description=f"The first {MOST_LISTED} jobs that are to end by then, if you see them."),
    ] = ()
    waits_for_count: int = 0


class Lead(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A later job that goes first, as its owner used less for its weight than `own_owner`."""

    share: Annotated[float, Meta(description="What that owner used for its weight, 1: all.")]
    own_share: float
    own_owner: str
    job: Annotated[str, Meta(description="None: another owner's, which is not named to you.")] = ""
    owner: str = ""


class SourceTrouble(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A source whose figures are out of date, or known in part."""

    source: str
    stale: bool
    age: Annotated[
        float | None, Meta(description="Seconds since its last good snapshot; none: never.")
    ] = None
    cause: Annotated[str, Meta(description="What is wrong with it, in a word.")] = ""
    detail: Annotated[str, Meta(description="The same as a sentence, in English only.")] = ""


class Unserved(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """That no notifier serves the type."""

    seconds: Annotated[float | None, Meta(description="Since when; none: never, or long ago.")] = (
        None
    )

    @property
    def text(self) -> str:
        """The same as a part of a sentence."""
        if self.seconds is None:
            return "no notifier serves this type"
        return f"no notifier has served this type for {self.seconds:.0f} s"
