"""What became of one attempt to call back, in class words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["ok", "gone", "retry", "rejected", "fail"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one attempt."""

    kind: Kind
    """ok 2xx; gone 410; retry 408, 425, 429, 5xx and all below HTTP; rejected other 4xx; fail:
    a redirect or a forbidden address, which trying again does not mend."""
    cause: str
    """A class word for clients: http_<status>, timeout, connection_refused, connection_reset,
    unreachable, tls, dns, redirect, forbidden, protocol."""
    milliseconds: int
    health: bool = False
    """Whether it counts against the destination's health."""
    retry_after: float | None = None
    """Seconds the receiver asks us to wait, at most a day; only with retry."""
