"""What a person types to sign in."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from rq_broker.domain.decoding import convert

Typed = Annotated[str, Meta(min_length=1, max_length=255)]


class KeystoneLogin(Struct, frozen=True, forbid_unknown_fields=True):
    """A user of OpenStack, and the project for which it signs in."""

    user: Typed
    password: Annotated[str, Meta(min_length=1, max_length=4096)]
    project: Typed
    domain: Typed = "Default"
    """Name of the domain of both."""

    def __repr__(self) -> str:
        return f"KeystoneLogin(user={self.user!r}, project={self.project!r})"


def keystone_login(body: object) -> KeystoneLogin:
    """Return what was typed. Raises Invalid."""
    return convert(body, KeystoneLogin)
