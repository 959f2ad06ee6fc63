"""Messages as the broker makes and signs them."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from rq_broker.delivery.message import message_body
from rq_broker.delivery.signing import SigningKey, generate, sign
from rq_broker.domain.jobs import Job, Status

KEY = generate()
"""What the broker signs with, and receivers verify by."""


def body(request_id: str = "d") -> bytes:
    """Return the message of a grant."""
    job = Job(3, "vm", request_id, "y", '{"instances":[{"VCPU":1}]}', "http://x/d", 1,
              Status.GRANTED, 0, 0, hosts=("host1", "host2"), fence=7)  # fmt: skip
    return message_body(job, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))


def headers(
    content: bytes,
    message_id: str = "vm_3_7",
    age: float = 0.0,
    keys: tuple[SigningKey, ...] = (KEY,),
) -> dict[str, str]:
    """Return the headers of a message that was sent `age` seconds ago."""
    return sign(message_id, int(time.time() - age), content, keys)
