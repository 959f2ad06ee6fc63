"""The JSON Schemas of what goes over the wire: the parts the OpenAPI document is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rq_broker.domain import errors
from rq_broker.domain.jobs import Status
from rq_broker.domain.validation import MAX_WHOLE

Schema = dict[str, Any]

STRING: Schema = {"type": "string"}
TIME: Schema = {"type": "string", "format": "date-time"}
FLAG: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 0}
PRIORITY: Schema = {"type": "integer", "minimum": -MAX_WHOLE, "maximum": MAX_WHOLE}
STATUS: Schema = {"type": "string", "enum": [status.value for status in Status]}
SPAN: Schema = {"type": ["number", "null"], "minimum": 0, "description": "Seconds; null: no end."}
AMOUNTS: Schema = {
    "type": "object",
    "additionalProperties": {"type": "integer", "minimum": 0, "maximum": MAX_WHOLE},
}
ETA: Schema = {
    "type": "object",
    "properties": {
        "p50": {"type": ["number", "null"], "minimum": 0},
        "p90": {"type": ["number", "null"], "minimum": 0},
        "reason": {"type": ["string", "null"]},
    },
    "required": ["p50", "p90", "reason"],
    "additionalProperties": False,
}
BALANCES: Schema = {"type": "object", "additionalProperties": {"type": "integer"}}


def ref(name: str) -> Schema:
    """Point at one of SCHEMAS."""
    return {"$ref": f"#/components/schemas/{name}"}


def nullable(schema: Schema) -> Schema:
    """Allow null as well."""
    return {**schema, "type": [schema["type"], "null"]}


def listed(schema: Schema) -> Schema:
    """A list of these."""
    return {"type": "array", "items": schema}


def record(required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None) -> Schema:
    """Describe an object that has all of `required`, perhaps some of `optional`, nothing else."""
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
        "additionalProperties": False,
    }


def envelope(data: Schema, more: Mapping[str, Schema] | None = None) -> Schema:
    """Describe a successful answer around its data."""
    return record({"data": data, "ok": {"const": True}}, more)


def _open(schema: Schema) -> Schema:
    return {key: value for key, value in schema.items() if key != "additionalProperties"}


_NAME: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": 255,
    "description": "At most 255 bytes of UTF-8, without `/` and control characters.",
}

_JOB = record(
    {
        "ID": {"type": "integer", "minimum": 1},
        "CreatedAt": TIME,
        "UpdatedAt": TIME,
        "DeletedAt": {"type": "null"},
        "RequestID": STRING,
        "Type": STRING,
        "OwnerID": STRING,
        "Data": {**STRING, "description": "The data as JSON text: sorted keys, every digit kept."},
        "Callback": STRING,
        "Priority": {**PRIORITY, "description": "Smaller goes first."},
        "Status": STATUS,
        "Position": {
            "type": ["integer", "null"],
            "minimum": 1,
            "description": "Queued jobs only; 1 is next.",
        },
        "Hosts": {**listed(STRING), "description": "What the grant holds: one name an instance."},
        "Fence": {"type": ["integer", "null"], "description": "Number of the newest grant."},
        "Attempts": {**COUNT, "description": "Callbacks tried for this grant."},
        "Error": nullable(STRING),
    },
    {
        "Reason": {
            **nullable(STRING),
            "description": "Why a queued job waits; on its own page only.",
        },
        "Warning": {
            **STRING,
            "description": "At submit only: no host of this type could ever hold this.",
        },
    },
)

_SUBMISSION = _open(
    record(
        {
            "request_id": _NAME,
            "owner_id": {**STRING, "minLength": 1, "maxLength": 255},
            "data": {
                "type": "object",
                "properties": {
                    "instances": {
                        "type": ["array", "null"],
                        "items": AMOUNTS,
                        "minItems": 1,
                        "maxItems": 1000,
                        "description": "What each instance needs; left out: one of one slot.",
                    },
                    "host_aggregate": nullable(STRING),
                    "spread": {**nullable(FLAG), "description": "No two instances on one host."},
                },
            },
            "callback": {**STRING, "minLength": 1, "maxLength": 2048},
        },
        {"priority": nullable(PRIORITY)},
    )
)

_UPDATE: Schema = {
    "description": "Exactly one of priority, status, before, after and position.",
    "oneOf": [
        _open(record({"priority": PRIORITY})),
        _open(
            record(
                {"status": STATUS},
                {
                    "fence": nullable(COUNT),
                    "error": nullable(STRING),
                    "servers": {
                        "type": ["array", "null"],
                        "items": {**STRING, "minLength": 1, "maxLength": 255},
                        "maxItems": 100,
                        "description": "With running: what the source of its hosts knows it by, "
                        "such as the UUIDs of its servers.",
                    },
                },
            )
        ),
        _open(record({"before": _NAME})),
        _open(record({"after": _NAME})),
        _open(record({"position": {"enum": ["front", "back"]}})),
    ],
}

_HOST = record(
    {
        "name": STRING,
        "capacity": AMOUNTS,
        "used": {**AMOUNTS, "description": "In use as its source sees it."},
        "held": {**AMOUNTS, "description": "Held by grants of ours."},
        "free": {**BALANCES, "description": "capacity − used − held; below 0 after it shrank."},
        "aggregates": listed(STRING),
        "dropped": {**FLAG, "description": "Out of service, listed until its holds are released."},
    },
    {
        "max_unit": {**AMOUNTS, "description": "The most one instance may have, where told."},
        "source": {
            **STRING,
            "description": "The source that reports it, if one does.",
        },
    },
)

_COMPUTED = ("name", "held", "free", "dropped", "source")

_NEW_HOST = record(
    {"capacity": AMOUNTS},
    {
        "used": {**AMOUNTS, "type": ["object", "null"]},
        "aggregates": {**listed(_NAME), "type": ["array", "null"]},
        "max_unit": {**AMOUNTS, "type": ["object", "null"]},
        **{each: {"description": "Ignored."} for each in _COMPUTED},
    },
)

_POLICY_FIELDS: Mapping[str, Schema] = {
    "patience": SPAN,
    "offer": SPAN,
    "running": SPAN,
    "retention": SPAN,
    "paused": FLAG,
    "concurrency": {
        "type": "integer",
        "minimum": 1,
        "maximum": 10_000,
        "description": "Callbacks on their way to one destination at once.",
    },
    "share": {"enum": ["owner", None]},
    "limits": {"type": "object", "additionalProperties": AMOUNTS},
    "holds": {
        "enum": ["until_done", "until_seen"],
        "description": "until_seen: a hold ends as a source's own figures come to show its use.",
    },
    "settle": {
        "type": "number",
        "minimum": 0,
        "description": "Seconds; under until_seen, how long a job without known servers holds.",
    },
}

_ATTEMPT = record(
    {
        "time": {**TIME, "description": "When it ended."},
        "fence": {**COUNT, "description": "Number of the grant it told of."},
        "attempt": {"type": "integer", "minimum": 1},
        "cause": {**STRING, "description": "`ok`, or the class of what went wrong."},
        "milliseconds": COUNT,
    }
)

_DESTINATION = record(
    {
        "destination": {**STRING, "description": "scheme://host:port"},
        "state": {
            "enum": ["closed", "open", "half-open"],
            "description": "Of its breaker: while open its jobs get no offer, half-open one.",
        },
        "failures": {**COUNT, "description": "In a row."},
        "open_seconds": {"type": "number", "minimum": 0, "description": "It stays open so long."},
        "in_flight": COUNT,
        "parked": {**COUNT, "description": "Callbacks that wait for it."},
    }
)

_SIGNING_KEYS = record(
    {
        "owner": {**STRING, "minLength": 1, "maxLength": 255, "description": "An owner_id or `*`."},
        "keys": {
            **listed({**STRING, "pattern": "^whsec_"}),
            "maxItems": 4,
            "description": "The newest first: `whsec_` and 24 to 64 bytes in base64.",
        },
    }
)

_FINGERPRINTS: Schema = {
    "type": "object",
    "additionalProperties": listed({**STRING, "pattern": "^[0-9a-f]{8}$"}),
    "description": "Owner or `*` → the first 8 hex digits of SHA-256 of each `whsec_…`, as padded "
    "base64.",
}

_WHAT_IF: Schema = {
    "description": "A job not submitted (data), or one put elsewhere (request_id).",
    "oneOf": [
        record(
            {"data": {"type": "object"}},
            {
                "owner_id": nullable(STRING),
                "callback": nullable(STRING),
                "priority": nullable(PRIORITY),
                "position": {"type": ["integer", "string", "null"]},
            },
        ),
        record(
            {"request_id": _NAME},
            {
                "priority": nullable(PRIORITY),
                "position": {"type": ["integer", "string", "null"]},
            },
        ),
    ],
}

_SOURCE = record(
    {
        "name": STRING,
        "age_seconds": {
            "type": ["number", "null"],
            "description": "Since its last good snapshot was begun; null before the first.",
        },
        "stale": {**FLAG, "description": "None for three of its intervals."},
        "hosts": COUNT,
        "clashes": {**COUNT, "description": "Hosts left alone, since others publish them."},
        "cause": {**nullable(STRING), "description": "Why its last try failed, in a word."},
        "text": nullable(STRING),
    }
)

SCHEMAS: Mapping[str, Schema] = {
    "Source": _SOURCE,
    "Job": _JOB,
    "Submission": _SUBMISSION,
    "Update": _UPDATE,
    "Host": _HOST,
    "NewHost": _NEW_HOST,
    "Policy": record(_POLICY_FIELDS),
    "PolicyChange": record({}, _POLICY_FIELDS),
    "WhatIf": _WHAT_IF,
    "Attempt": _ATTEMPT,
    "Destination": _DESTINATION,
    "OneDestination": record({"destination": STRING}),
    "SigningKeys": _SIGNING_KEYS,
    "Fingerprints": _FINGERPRINTS,
    "Counts": record({status.value: COUNT for status in Status}),
    "Error": record(
        {
            "error": {**STRING, "description": "A sentence for people."},
            "code": {"enum": sorted(word.lower() for word in errors.by_word())},
            "ok": {"const": False},
        }
    ),
}
