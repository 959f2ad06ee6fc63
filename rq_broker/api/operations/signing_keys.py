"""The rows of signing keys."""

from __future__ import annotations

from collections.abc import Mapping

from rq_broker.api import bodies, roles
from rq_broker.api.operations import refusals
from rq_broker.api.operations.row import Body, Operation
from rq_broker.api.views import Fingerprints
from rq_broker.domain import errors

_KEYS = {"owner": "lab-7", "keys": [f"whsec_{'A' * 32}"]}

OPERATIONS: Mapping[str, Operation] = {
    "keys": Operation(
        Fingerprints, (*refusals.TYPE, errors.SigningKeysEncrypted), order=31, access=roles.KEYS
    ),
    "set_keys": Operation(
        Fingerprints,
        (*refusals.TYPE, *refusals.BODY, errors.TooManyTypes, errors.SigningKeysEncrypted),
        body=Body(bodies.OwnerKeys, _KEYS),
        note="Callbacks are signed by Standard Webhooks, once with each key. To rotate, set the "
        "new key and the old one, and later the new one alone. `[]` removes the owner's keys.",
        makes_type=True,
        order=30,
        access=roles.KEYS,
    ),
}
