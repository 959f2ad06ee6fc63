"""Who acts where a command changes something: the user at the terminal."""

from __future__ import annotations

import getpass
import os

from rq_broker.domain.identity import ACTOR, Actor


def act_as_user() -> None:
    """Let what this task changes from now on be that of `cli:<user>` in the audit log."""
    ACTOR.set(Actor(f"cli:{_user()}"))


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # the user has no name, as in some containers
        return str(os.getuid())
