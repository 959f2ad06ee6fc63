"""The policy fields a client may change; written by scripts/generate.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NotRequired, TypedDict


class Share(TypedDict):
    """Jobs without a priority of their own are ordered by what their owner used for its weight."""

    by: Literal["owner"]
    half_life: NotRequired[float]
    weights: NotRequired[Mapping[str, float]]


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
    most_kinds: int
    most_hosts: int
    concurrency: int
    share: Literal["owner"] | Share | None
    names: Literal["per_owner", "per_type"]
    own_order: bool
    limits: Mapping[str, Mapping[str, int]] | None
    queue_limits: Mapping[str, Mapping[Literal["bytes", "jobs"], int]] | None
    most_waiting: int | None
    most_bytes: int | None
    holds: Literal["until_done", "until_seen"]
    settle: float
    audit_log: int
