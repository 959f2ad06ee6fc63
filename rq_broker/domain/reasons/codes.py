"""The stable words of reasons. Once published, a word keeps its meaning."""

from __future__ import annotations

from enum import StrEnum


class ReasonCode(StrEnum):
    """Why."""

    NO_FIT = "no_fit"
    IMPOSSIBLE = "impossible"
    PAUSED = "paused"
    PROTECTED_OTHER = "protected_other"
    STRICT_ORDER = "strict_order"
    OWNER_LIMIT = "owner_limit"
    AT_ONCE = "at_once"
    DESTINATION_CLOSED = "destination_closed"
    DESTINATION_ASKED = "destination_asked"
    DESTINATION_BEHIND = "destination_behind"
    OFFERS_MISSED = "offers_missed"
    OFFERS_OPEN = "offers_open"
    NEXT_PASS = "next_pass"
    SAME_SHAPE = "same_shape"
    GRANTED_SOON = "granted_soon"
    NO_NOTIFIER = "no_notifier"
    NOT_BEFORE = "not_before"
    AFTER = "after"
    COUNT_RESERVED = "count_reserved"
    # Only of a job that has a grant.
    HOLD_LOST = "hold_lost"
    SERVER_UNSEEN = "server_unseen"
    STILL_RUNNING = "still_running"
    CALLBACK_FAILING = "callback_failing"
    # Only of an ETA.
    TOO_LITTLE_HISTORY = "too_little_history"
    TOO_FAR = "too_far"
    NEVER = "never"
    COMPUTING = "computing"


class ReasonKind(StrEnum):
    """Which of the sentences of its code a reason has, where a code has several."""

    MOST_FREE = "most_free"
    CLOSEST = "closest"
    ANYWHERE = "anywhere"
    ONE_DEVICE = "one_device"
    PART_OF_DEVICES = "part_of_devices"
    WHOLE_DEVICES = "whole_devices"
    INSTANCES = "instances"
    MIX = "mix"
    NO_HOST = "no_host"
    NO_RESOURCE = "no_resource"
    OWNER_LIMIT = "owner_limit"
    ALTERNATIVES = "alternatives"
    FORECAST = "forecast"
    SOMETIMES = "sometimes"
