"""X-Request-ID: names each request, its answer, and what it changed in the audit log."""

from __future__ import annotations

from collections.abc import Iterable
from random import getrandbits

from rq_broker.domain.correlation import REQUEST_ID, WELL_FORMED_ID


def request_id_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the ID that a request names, if it is well-formed; otherwise a new one."""
    for name, value in headers:
        if name == REQUEST_ID and WELL_FORMED_ID.fullmatch(text := value.decode("latin-1")):
            return text
    # The kernel's random bytes would cost a system call for what names a request and is no secret.
    return f"{getrandbits(64):016x}"
