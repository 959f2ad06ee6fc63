"""Which jobs that came later go first in a pass, as their owners used less for their weight."""

from __future__ import annotations

from typing import NamedTuple

from rq_broker.domain.jobs import Demand
from rq_broker.domain.planning import Head


class ShareLead(NamedTuple):
    """A job that a pass considered, and what its owner had used for its weight by then."""

    head: Head
    demand: Demand
    owner: str
    share: float


class ShareLeads:
    """The jobs that a pass has considered so far, as far as later ones need to know them.

    Of each of two owners the job is kept that stands last in the queue: whichever job is considered
    next, one of them tells whether another owner's job went first that stands behind it.
    """

    def __init__(self) -> None:
        self._last: list[ShareLead] = []
        """Of two owners at most, the one that stands last in front."""

    def note(self, lead: ShareLead) -> None:
        """Note a job that a pass considers; those with a priority of their own do not count."""
        if lead.head.own_priority:
            return
        others = [known for known in self._last if known.owner != lead.owner]
        same = [known for known in self._last if known.owner == lead.owner]
        self._last = sorted([*others, max([*same, lead], key=_place)], key=_place)[:-3:-1]

    def before(self, head: Head, owner: str) -> ShareLead | None:
        """Return a job of another owner that went first and stands behind this one, if any did."""
        if head.own_priority:
            return None
        place = (head.priority, head.id)
        leads = (lead for lead in self._last if lead.owner != owner and _place(lead) > place)
        return next(leads, None)


def _place(lead: ShareLead) -> tuple[int, int]:
    """Return the job's place in the queue."""
    return lead.head.priority, lead.head.id
