"""Which values a reason has, by its code and kind, and the sentence that is made of them.

This is the one table of reasons: JSON, OpenAPI, the page on admission and the sentences follow it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rq_broker.domain.reasons import capacity, sentences
from rq_broker.domain.reasons.codes import ReasonCode, ReasonKind
from rq_broker.domain.reasons.endings import endings

if TYPE_CHECKING:
    from rq_broker.domain.reasons.reason import Reason

ENDINGS = ("after_earlier", "reserved", "lead", "sources", "unserved")
"""Values that any reason may have besides: what its sentence says at its end."""


@dataclass(frozen=True, slots=True)
class Case:
    """A reason of one code and kind."""

    meaning: str
    """The job waits because …"""
    sentence: Callable[[Reason], str]
    required: tuple[str, ...] = ()
    """The values that it has always, by name."""
    optional: tuple[str, ...] = ENDINGS
    """Those that it has where they apply."""


def _case(
    meaning: str, sentence: Callable[[Reason], str] | str, required: str = "", optional: str = ""
) -> Case:
    said = (lambda _: sentence) if isinstance(sentence, str) else sentence
    return Case(meaning, said, tuple(required.split()), (*optional.split(), *ENDINGS))


_CODE, _KIND = ReasonCode, ReasonKind
_LACKS: dict[ReasonKind, tuple[str, str]] = {
    ReasonKind.MOST_FREE: ("resource needed free host", "where"),
    ReasonKind.CLOSEST: ("lacks host", "where"),
    ReasonKind.ANYWHERE: ("lacks host", ""),
    ReasonKind.ONE_DEVICE: ("resource needed free host", "where"),
    ReasonKind.PART_OF_DEVICES: ("resource needed host largest", "where"),
    ReasonKind.WHOLE_DEVICES: ("resource needed free host devices_needed devices_free", "where"),
    ReasonKind.INSTANCES: ("instance count fits", "where spread at_least"),
    ReasonKind.MIX: ("instance count others", "where spread at_least"),
}
"""The values of what a demand lacks, by kind."""
_MEANT = {
    ReasonKind.MOST_FREE: "one host has the most of what an instance lacks, and it is not enough",
    ReasonKind.CLOSEST: "an instance lacks several resources, or another host has more of one",
    ReasonKind.ANYWHERE: "an instance lacks something of the host that is anywhere in the type",
    ReasonKind.ONE_DEVICE: "no single device has enough",
    ReasonKind.PART_OF_DEVICES: "more than one device has is given in whole devices only",
    ReasonKind.WHOLE_DEVICES: "too few whole devices are free on one host",
    ReasonKind.INSTANCES: "each instance would fit alone, but not all of them at once",
    ReasonKind.MIX: "each instance would fit, but not beside the others",
}

CASES: Mapping[tuple[ReasonCode, ReasonKind | None], Case] = {
    **{
        (_CODE.NO_FIT, kind): _case(_MEANT[kind], capacity.no_fit, *_LACKS[kind]) for kind in _LACKS
    },
    **{
        (_CODE.IMPOSSIBLE, kind): _case(
            f"even without any job: {_MEANT[kind]}",
            capacity.impossible,
            _LACKS[kind][0],
            _LACKS[kind][1] if kind in (ReasonKind.INSTANCES, ReasonKind.MIX) else "where anywhere",
        )
        for kind in _LACKS
    },
    (_CODE.IMPOSSIBLE, _KIND.NO_HOST): _case(
        "no host is of the aggregate and has the traits that it asks for",
        capacity.no_host,
        optional="where similar",
    ),
    (_CODE.IMPOSSIBLE, _KIND.NO_RESOURCE): _case(
        "no host has a resource of this name",
        capacity.no_resource,
        "resource needed",
        "where similar anywhere",
    ),
    (_CODE.IMPOSSIBLE, _KIND.OWNER_LIMIT): _case(
        "it alone needs more than its owner may hold",
        sentences.beyond_limit,
        "owner resource needed limit",
    ),
    (_CODE.IMPOSSIBLE, _KIND.FORECAST): _case(
        "no host could ever hold it (of an ETA)",
        "its turn never comes: no host could ever hold it",
    ),
    (_CODE.PAUSED, None): _case("grants are paused", "grants are paused for this type"),
    (_CODE.PROTECTED_OTHER, None): _case(
        "it would fit, but would delay an earlier job's reservation",
        sentences.behind,
        optional="job passed_since hosts",
    ),
    (_CODE.STRICT_ORDER, None): _case(
        "it would fit, but an earlier job does not (`strict_order`)",
        sentences.behind,
        optional="job",
    ),
    (_CODE.OWNER_LIMIT, None): _case(
        "its owner holds as much as it may",
        sentences.owner_limit,
        "owner resource needed limit held",
        "kept",
    ),
    (_CODE.AT_ONCE, None): _case(
        "as many jobs of its [array](terms.md#arrays) hold capacity as may at a time",
        sentences.at_once,
        "array limit",
    ),
    (_CODE.DESTINATION_CLOSED, None): _case(
        "its receiver does not answer callbacks; `until` is the next try",
        sentences.destination_closed,
        "destination",
        "until",
    ),
    (_CODE.DESTINATION_CLOSED, _KIND.FORECAST): _case(
        "its receiver takes no callbacks now (of an ETA)",
        "its destination does not take callbacks now",
        "destination",
    ),
    (_CODE.DESTINATION_ASKED, None): _case(
        "its receiver asked, by `Retry-After`, to be called later",
        sentences.destination_asked,
        "destination until",
    ),
    (_CODE.DESTINATION_BEHIND, None): _case(
        "too many callbacks to its receiver wait to be sent",
        sentences.destination_behind,
        "destination",
    ),
    (_CODE.OFFERS_MISSED, None): _case(
        "it has no callback, and its owner missed the last [offers](concepts.md#offers)",
        sentences.offers_missed,
        "owner",
    ),
    (_CODE.OFFERS_MISSED, _KIND.FORECAST): _case(
        "its owner missed the last offers (of an ETA)",
        "the last offers to its owner were missed",
        "owner",
    ),
    (_CODE.OFFERS_OPEN, None): _case(
        "it has no callback, and its owner has as many offers open as it may",
        sentences.offers_open,
        "owner",
    ),
    (_CODE.NEXT_PASS, None): _case(
        "the pass has not come to it: jobs before it are granted first",
        "not considered yet: earlier jobs are granted first, then it is its turn",
    ),
    (_CODE.SAME_SHAPE, None): _case(
        "earlier jobs of the same shape are granted first",
        "earlier jobs of the same shape go first",
    ),
    (_CODE.GRANTED_SOON, None): _case(
        "it fits, and the next pass grants it", "it fits, and is about to be granted"
    ),
    (_CODE.NO_NOTIFIER, None): _case(
        "it fits, but no notifier serves the type", sentences.no_notifier
    ),
    (_CODE.NOT_BEFORE, None): _case(
        "it waits beside the line for its time: its [own terms](terms.md)",
        sentences.not_before,
        "until",
    ),
    (_CODE.AFTER, None): _case(
        "it waits beside the line for other jobs: its [own terms](terms.md)",
        sentences.after,
        "left",
        "jobs any_end",
    ),
    (_CODE.COUNT_RESERVED, None): _case(
        "a host has a resource called `count`, which no demand can ask for (of a `Warning`)",
        sentences.count_reserved,
        "host",
    ),
    (_CODE.HOLD_LOST, None): _case(
        "some of its grant is neither used nor held (of a job that has one)",
        sentences.hold_lost,
        "unheld seconds",
    ),
    (_CODE.SERVER_UNSEEN, None): _case(
        "a server that it named was not seen (of a job that has a grant)",
        sentences.server_unseen,
        "source servers seconds",
    ),
    (_CODE.STILL_RUNNING, None): _case(
        "it runs for three times its `expected` (of a job that does)",
        sentences.still_running,
        "seconds expected",
    ),
    (_CODE.CALLBACK_FAILING, None): _case(
        "its callback failed so far; `until` is the next try (of a job that is granted)",
        sentences.callback_failing,
        "destination attempts cause",
        "until",
    ),
    (_CODE.TOO_LITTLE_HISTORY, None): _case(
        "too few jobs have used granted capacity and ended for a forecast (of an ETA)",
        sentences.too_little_history,
        "needed",
    ),
    (_CODE.TOO_FAR, None): _case(
        "the simulation does not reach its turn (of an ETA)",
        "its turn is further away than the simulation reaches",
    ),
    (_CODE.TOO_FAR, _KIND.SOMETIMES): _case(
        "the same in some futures, so there is no p90 (of an ETA)",
        "in some simulated futures its turn is too far away to simulate",
    ),
    (_CODE.NEVER, None): _case(
        "its turn never comes in most simulated futures (of an ETA)",
        "in most simulated futures its turn never comes",
    ),
    (_CODE.NEVER, _KIND.SOMETIMES): _case(
        "the same in some futures, so there is no p90 (of an ETA)",
        "in some simulated futures its turn never comes",
    ),
    (_CODE.COMPUTING, None): _case(
        "the forecast is being made (of an ETA), or a plan that takes longer than a read waits",
        "it is being computed; ask again in a few seconds",
    ),
}
"""By code and kind; a reason of kind `alternatives` may have the code of any alternative."""
ALTERNATIVES = _case(
    "it has [alternatives](demands.md), and each has a reason; the code is that of the first that "
    "may still be granted",
    sentences.alternatives,
    "alternatives",
    "alternatives_from",
)


def case_of(reason: Reason) -> Case:
    """Return the row of a reason."""
    if reason.kind is ReasonKind.ALTERNATIVES:
        return ALTERNATIVES
    return CASES[reason.code, reason.kind]


def text_of(reason: Reason) -> str:
    """Return a reason as an English sentence."""
    return case_of(reason).sentence(reason) + endings(reason)
