"""What of a demand is left to the moment of its grant: how many instances, and which alternative.

A demand may have alternatives, each a demand of its own; and one kind of its instances may be
*elastic*: the job takes as many as fit, within a range. A grant decides both. What it decides on is
plain again: so many instances, each on its host.
"""

from __future__ import annotations

from msgspec import Struct


class Elastic(Struct, frozen=True, forbid_unknown_fields=True):
    """Which instance a demand may have more of than it lists."""

    index: int
    """Its place in the demand's instances. Those of its kind stand together, from here on."""
    more: int
    """How many more it may have of it at most."""
