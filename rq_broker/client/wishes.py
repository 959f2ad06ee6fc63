"""What a hold asks for, and how it waits."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Unpack
from uuid import uuid4

from rq_broker.client.arguments import HoldTerms
from rq_broker.client.call import Json
from rq_broker.client.grants import HoldLost

HOLD_AT_MOST = 600.0
"""Seconds without renewal after which the broker ends a hold, if the holder does not say. Longer
than an upgrade of the broker takes; so long is capacity lost to a holder that was killed."""
LONGEST_WAIT = 30.0
"""Seconds of one waiting call. Proxies cut connections on which nothing moves for 60 s."""


class HoldOptions(HoldTerms, total=False):
    """What `hold` takes beside the type and the need."""

    request_id: str | None
    """The job's name; a new one if left out."""
    data: Mapping[str, Any] | None
    """More of the demand, such as `require`, and what you want to keep with the job."""
    hold_at_most: float
    """Seconds after which the broker ends the hold if it is not renewed, as this process is gone;
    HOLD_AT_MOST if left out."""
    timeout: float | None
    """Seconds to wait for the grant; without end if left out."""
    look_every: float
    """Seconds between two calls of `on_wait` at most; LONGEST_WAIT if left out."""
    on_wait: Callable[[Json], None] | None
    """Is called with the job while it waits."""
    on_lost: Callable[[HoldLost], None] | None
    """Is called once the hold is lost: in the thread that renews it, or in the event loop."""


@dataclass(slots=True)
class Wish:
    """What a hold asks for, and how it waits.

    Args:
        type: The queue's name.
        job: The fields to submit.
        timeout: Seconds to wait for the grant; None without end.
        look_every: Seconds after which the wait looks anew at the latest.
        on_wait: Is called with the job each time it is seen waiting.
        on_lost: Is called once when the hold is lost, in the thread or task that renews.
        is_own_name: Whether the name was made here, so that no other job can have it.
        key: The Idempotency-Key of the submit.
    """

    type: str
    job: dict[str, Any]
    timeout: float | None
    look_every: float
    on_wait: Callable[[Json], None] | None
    on_lost: Callable[[HoldLost], None] | None
    is_own_name: bool
    key: str = field(default_factory=lambda: uuid4().hex)
    is_sent: bool = False
    """Whether the submit was begun."""
    is_stored: bool = False
    """Whether the API has said that it has the job."""

    @property
    def name(self) -> str:
        """The job's request_id."""
        return str(self.job["request_id"])

    @property
    def owner_id(self) -> str:
        """Whose job it is, '' if the API knows."""
        return str(self.job.get("owner_id", ""))


def user_name() -> str:
    """Return the name of the user whose process this is: the owner of jobs where nobody else is."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # the user has no name, as in some containers
        return "job"


_OF_THE_WAIT = ("request_id", "data", "timeout", "look_every", "on_wait", "on_lost")


def wish(
    type_: str,
    need: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    *,
    is_anonymous: bool = False,
    **options: Unpack[HoldOptions],
) -> Wish:
    """Return what a hold asks for.

    The arguments are those of the clients' `hold`; `is_anonymous`: nothing but the job says who
    asks, so that it is the user's unless it says another owner.
    """
    instances = [dict(need)] if isinstance(need, Mapping) else [dict(one) for one in need]
    terms = {
        name: value
        for name, value in options.items()
        if name not in _OF_THE_WAIT and value is not None
    }
    name = options.get("request_id")
    job = {
        "request_id": f"hold-{uuid4().hex[:12]}" if name is None else name,
        "data": {**(options.get("data") or {}), "instances": instances},
        "hold_at_most": HOLD_AT_MOST,
        **({"owner_id": user_name()} if is_anonymous else {}),
        **terms,
    }
    return Wish(
        type_,
        job,
        timeout=options.get("timeout"),
        look_every=options.get("look_every", LONGEST_WAIT),
        on_wait=options.get("on_wait"),
        on_lost=options.get("on_lost"),
        is_own_name=name is None,
    )
