"""A reason: a stable code for programs, and the values of which its sentence is made."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rq_broker.domain.reasons.codes import ReasonCode, ReasonKind
from rq_broker.domain.reasons.table import case_of, text_of
from rq_broker.domain.reasons.values import (
    ANY,
    Anywhere,
    HeldByNobody,
    Lack,
    Lead,
    Reserved,
    SourceTrouble,
    Unserved,
    Where,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why. Which of the values it has, its code and kind say, see table.py; others are unset."""

    code: ReasonCode
    kind: ReasonKind | None = None
    resource: str = ""
    needed: int = 0
    free: int = 0
    """May be below 0."""
    host: str = ""
    lacks: tuple[Lack, ...] = ()
    where: Where = ANY
    similar: tuple[str, ...] = ()
    """Names that somebody may have meant by one that no host has."""
    anywhere: Anywhere | None = None
    """A resource of the instance that needs an instance of its own."""
    largest: int = 0
    """What the largest device of `host` has."""
    devices_needed: int = 0
    devices_free: int = 0
    instance: tuple[tuple[str, int], ...] = ()
    count: int = 0
    """How many of `instance` are needed at once."""
    fits: int = 0
    """How many of them would fit."""
    others: int = 0
    """Instances of other kinds that are needed besides."""
    spread: bool = False
    at_least: bool = False
    """Whether `count` is the least that the job takes."""
    owner: str = ""
    limit: int = 0
    held: int = 0
    kept: int = 0
    """Kept below the limit for an earlier job of the same owner."""
    destination: str = ""
    until: float = 0.0
    """Seconds since 1970; 0 where it is not known."""
    job: str = ""
    """Another job's name; '' for one that may not be known."""
    passed_since: float = 0.0
    """When later jobs first passed that job, seconds since 1970; 0: none has."""
    hosts: tuple[str, ...] = ()
    """Hosts that are kept for that job, MOST_LISTED at most."""
    left: int = 0
    """Jobs that it comes after and that have not ended."""
    jobs: int = 0
    """Jobs that it comes after in all; 0 where that is not known."""
    any_end: bool = False
    array: str = ""
    source: str = ""
    servers: tuple[str, ...] = ()
    seconds: float = 0.0
    expected: float = 0.0
    unheld: tuple[HeldByNobody, ...] = ()
    attempts: int = 0
    """Of a callback, those that failed."""
    cause: str = ""
    """Of the last of them, in a word."""
    alternatives: tuple[Reason, ...] = ()
    alternatives_from: float = 0.0
    """From when on further alternatives count, seconds since 1970; 0 if there are none."""
    after_earlier: bool = False
    """Whether what earlier jobs are about to get is taken off what is free."""
    reserved: Reserved | None = None
    lead: Lead | None = None
    sources: tuple[SourceTrouble, ...] = ()
    unserved: Unserved | None = None
    now: float = 0.0
    """When this was found, seconds since 1970: the sentence tells times of another day with it."""

    @property
    def text(self) -> str:
        """The reason as an English sentence."""
        return text_of(self)

    @property
    def keys(self) -> tuple[str, ...]:
        """Names of the values that it has, each set."""
        case = case_of(self)
        optional = (name for name in case.optional if getattr(self, name))
        return (*case.required, *optional)

    @property
    def short_on(self) -> frozenset[str]:
        """The host that lacks something, if it is the one that comes closest."""
        return frozenset({self.host} if self.host else ())

    def without_names(self) -> Reason:
        """Return the reason as it is told to who may not know other jobs and owners."""
        lead, reserved = self.lead, self.reserved
        return replace(
            self,
            job="",
            alternatives=tuple(reason.without_names() for reason in self.alternatives),
            lead=lead and Lead(lead.share, lead.own_share, lead.own_owner),
            reserved=reserved
            and Reserved(
                reserved.hosts,
                reserved.host_count,
                reserved.start,
                waits_for_count=reserved.waits_for_count,
            ),
        )
