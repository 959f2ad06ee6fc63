"""Where an operation stands on the API's page, and the examples that it shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Group(Enum):
    """A chapter of the page: its title, and what it is about. The page has them in this order."""

    LIFE = "The life of a job", "Submit it, wait, take what was granted, give it back."
    LOOK = "Look", "What waits, why, for how long, and what has happened."
    STEER = "Steer", "Change the order, many jobs at once, the policy of a type."
    OPERATE = "Operate", "Hosts, receivers, keys, tokens, and the health of the service."

    @property
    def title(self) -> str:
        """The heading of the chapter."""
        return self.value[0]

    @property
    def about(self) -> str:
        """One sentence below the heading."""
        return self.value[1]


@dataclass(frozen=True, slots=True)
class Example:
    """One call that runs: the examples of the page do, one after the other, on `rq-broker dev`."""

    title: str = ""
    """What it does, in a few words; empty where the operation has this one only."""
    path: Mapping[str, str] = field(default_factory=dict)
    """Path parameter → value, where it is not the usual one (see api/examples)."""
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    """Left out: the example of the operation's body."""
    python: str = ""
    """The same with the Python client, where its method is not named as the operation."""
