"""The policy fields a client may change; written by scripts/generate.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypedDict


class PolicyChange(TypedDict, total=False):
    """The policy fields to change. Spans are seconds; None means without end."""

    patience: float | None
    strict_order: bool
    expected_default: float | None
    expected_most: float | None
    offer: float | None
    running: float | None
    retention: float | None
    paused: bool
    concurrency: int
    share: Literal["owner"] | None
    limits: Mapping[str, Mapping[str, int]] | None
    holds: Literal["until_done", "until_seen"]
    settle: float
