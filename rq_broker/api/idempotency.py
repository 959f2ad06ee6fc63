"""The header Idempotency-Key, by which a client tells a call that it repeats from a new one.

Source: draft-ietf-httpapi-idempotency-key-header, where the value is a string in quotes. A value
without quotes, as many clients send it, counts as the string that it is.
"""

from __future__ import annotations

import re

from starlette.requests import Request

from rq_broker.domain.errors import Invalid

REPLAYED = (b"idempotent-replayed", b"true")
"""The header of an answer to a call that was carried out before."""
_NAME = b"idempotency-key"
MOST_CHARACTERS = 255
"""Of a key: enough for a UUID and whatever a client puts before it."""
_QUOTED = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')
_PLAIN = re.compile(r"[!#-~][ -~]*")
_ESCAPED = re.compile(r"\\(.)")


def idempotency_key(request: Request) -> str:
    """Return the key of a request, '' without the header. Raises Invalid for one that is no key."""
    values = [value for name, value in request.scope["headers"] if name == _NAME]
    if not values:
        return ""
    if len(values) > 1:
        raise Invalid("the header Idempotency-Key must be given once")
    key = _parse(values[0].decode("latin-1").strip())
    if not 1 <= len(key) <= MOST_CHARACTERS:
        raise Invalid(
            f"the header Idempotency-Key must be 1 to {MOST_CHARACTERS} printable ASCII "
            "characters, in quotes or without"
        )
    return key


def _parse(text: str) -> str:
    """Return the key that a header holds, '' if it holds none."""
    quoted = _QUOTED.fullmatch(text)
    if quoted:
        return _ESCAPED.sub(r"\1", quoted[1])
    return text if _PLAIN.fullmatch(text) else ""
