"""The header `Authorization: Bearer …`, in which tokens and JWTs come. Source: RFC 6750."""

from __future__ import annotations

from collections.abc import Mapping

BEARER = 'Bearer realm="rq-broker"'
"""The challenge of every kind of credential that comes in this header."""


def bearer(headers: Mapping[str, str]) -> str | None:
    """Return the credential of the header; None if there is no such header."""
    scheme, _, credential = headers.get("authorization", "").partition(" ")
    return credential.strip() if scheme.lower() == "bearer" else None
