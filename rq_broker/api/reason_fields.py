"""The fields by which jobs and arrays tell a reason: the sentence, and beside it the values."""

from __future__ import annotations

from typing import Any

from rq_broker.domain.reasons.reason import Reason
from rq_broker.domain.reasons.view import ReasonView


def why_fields(reason: Reason | None) -> dict[str, Any]:
    """Return `Reason` and `Why`; null where the job does not wait."""
    return {"reason": reason.text if reason else None, "why": ReasonView.of_any(reason)}


def warned_of(reason: Reason) -> dict[str, Any]:
    """Return `Warning` and `Why` of a submit."""
    return {"warning": reason.text, "why": ReasonView.of(reason)}
