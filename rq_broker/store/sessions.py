"""What the installation keeps of sessions: create, read, use and end them."""

from __future__ import annotations

from collections.abc import Mapping

from rq_broker.domain.identity import Role
from rq_broker.domain.sessions import NewSession, Session
from rq_broker.store import records
from rq_broker.store.keys import INSTALLATION, Keys
from rq_broker.store.runner import Runner
from rq_broker.store.tokens import identity_of, limits_of

MOST_SESSIONS = 20
"""Sessions of one identity at once: a person's browsers. Without a bound, one valid token that
signs in again and again would fill Redis."""
_ID_DIGITS = 32
"""Hex digits of an id: 128 bits, so that no two sessions share one."""
_KEYS = Keys(INSTALLATION)


class Sessions:
    """The verbs of sessions. `digest` is the SHA-256 of a session's secret, in hex digits."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    async def create_session(self, new: NewSession, idle: float, lifetime: float) -> None:
        """Keep a session. The identity's oldest ends where it would have more than MOST_SESSIONS.

        Args:
            new: The session.
            idle: Seconds after which it ends unless it is used.
            lifetime: Seconds after which it ends.
        """
        record = ["digest", new.digest]
        if new.token:
            record += ("token", new.token)
        elif new.sealed:
            record += ("sealed", new.sealed)
        else:
            record += ("role", new.identity.role.value, *limits_of(new.identity))
        await self._runner.run(
            "create_session",
            INSTALLATION,
            session=new.digest[:_ID_DIGITS],
            identity=new.identity.name,
            way=new.way,
            record=record,
            idle=round(idle * 1000),
            lifetime=round(lifetime * 1000),
            most=MOST_SESSIONS,
        )

    async def session(self, digest: str) -> Session | None:
        """Read a session; None if there is none, or it has ended."""
        id_ = digest[:_ID_DIGITS]
        flat = await self._runner.command("HGETALL", _KEYS.of("session", id_))
        entries = [(id_, records.pairs(flat))] if flat else []
        return next(iter(records.readable(_session, entries)), None)

    async def use_session(self, digest: str, idle: float) -> None:
        """Let a session idle for so many seconds from now on; nothing happens if it has ended."""
        name = _KEYS.of("session", digest[:_ID_DIGITS])
        await self._runner.command("PEXPIRE", name, round(idle * 1000))

    async def end_session(self, digest: str) -> None:
        """End a session, if there is one."""
        await self._runner.run("end_session", INSTALLATION, session=digest[:_ID_DIGITS])


def _session(entry: tuple[str, Mapping[str, str]]) -> Session:
    _, fields = entry
    return Session(
        fields["digest"],
        identity_of(fields["name"], Role(fields.get("role", Role.VIEWER)), fields),
        fields["way"],
        fields.get("token", ""),
        fields.get("sealed", ""),
        int(fields["ends"]) / 1000,
    )
