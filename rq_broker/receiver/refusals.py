"""Why a message is not taken, each with the status that the broker should see.

The broker tries again after a 4xx, and gives up after three attempts: a receiver whose key is
changed a moment later than the broker's loses nothing.
"""

from __future__ import annotations

from typing import ClassVar


class Refused(Exception):
    """A message that is not taken."""

    status: ClassVar[int] = 400
    """Of the answer."""


class NotVerified(Refused):
    """The signature is missing or wrong, or the message is too old or from the future."""

    status = 401


class NotAnEvent(Refused):
    """The message comes from the broker, and cannot be read."""


class TooLarge(Refused):
    """The body is larger than a job may be."""

    status = 413
