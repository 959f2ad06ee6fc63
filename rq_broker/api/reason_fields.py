"""The fields by which jobs and arrays tell a reason: the sentence, and beside it the values."""

from __future__ import annotations

from typing import Any

from rq_broker.domain.reasons.reason import Reason
from rq_broker.domain.reasons.view import SentenceAndValues


def why_fields(reason: Reason | None) -> dict[str, Any]:
    """Return `Reason` and `Why`; null where the job does not wait."""
    sentence, values = SentenceAndValues.of(reason)
    return {"reason": sentence, "why": values}


def warned_of(reason: Reason) -> dict[str, Any]:
    """Return `Warning` and `Why` of a submit."""
    sentence, values = SentenceAndValues.of(reason)
    return {"warning": sentence, "why": values}
