"""Who asks: each module proves an identity from one kind of credential."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from rq_broker.domain.identity import Identity
from rq_broker.identity.bearer import BEARER

__all__ = ["BEARER", "Authenticator", "header_of"]


class Authenticator(Protocol):
    """Proves who asks from the headers of a request."""

    @property
    def name(self) -> str:
        """One word for this kind of credential; the API document lists it by this name."""
        ...

    @property
    def scheme(self) -> Mapping[str, str]:
        """The security scheme by which the API document describes it."""
        ...

    @property
    def challenge(self) -> str:
        """What WWW-Authenticate says where an identity is missing, such as BEARER."""
        ...

    async def identify(self, headers: Mapping[str, str]) -> Identity | None:
        """Return who asks; None if the request carries no credential of this kind.

        Args:
            headers: Of the request; the header of the scheme, by its name in lower case, will do.

        Raises:
            Unauthenticated: The credential proves nothing; the subclass says why.
            Unavailable: What knows the credentials does not answer.
        """
        ...


def header_of(authenticator: Authenticator) -> str:
    """Return in which header an authenticator's credential comes; its name in lower case."""
    scheme = authenticator.scheme
    return scheme["name"].lower() if scheme["type"] == "apiKey" else "authorization"
