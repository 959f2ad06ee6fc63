"""What keeps Redis from serving this process's calls: counted, logged at its begin and its end.

However many types, loops and requests meet one cause, the log gets two lines. Readiness and metrics
read the present causes and the counts here.
"""

from __future__ import annotations

import logging
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from rq_broker.domain import errors
from rq_broker.measures import REDIS_REFUSED
from rq_broker.store.later import Later

PROBE_SECONDS = 1.0
"""Seconds between two attempts to find a cause gone. A shorter time costs calls while Redis is in
trouble; a longer one reports the trouble for longer than it lasts."""
QUIET_SECONDS = 3.0
"""Seconds for which no call may meet a cause until it counts as gone. With less, a cause that only
some calls meet, such as a missing right, would be logged again and again."""
KEYS = 16
"""Keys, of as many types, with which one cause is probed. With fewer, a cause that many types meet
may be called gone while it lasts for one of them; each costs a call in PROBE_SECONDS."""

LONGEST_DETAIL = 200
"""Letters of an error's text in a log line: what Redis says fits, a script or a key does not."""
_OBJECT = re.compile(r"\s*:?\s*<redis\..*", re.DOTALL)
"""The repr of an object of redis-py in the text of an error, and what follows."""

_log = logging.getLogger(__name__)

Probe = Callable[[str], Awaitable[type[errors.Unavailable] | None]]
"""Tries to write nothing at a key's slot; returns why Redis refuses, None if it does not."""


@dataclass(slots=True)
class Spell:
    """A cause that is present: since when, and how many calls met it."""

    error: type[errors.Unavailable]
    sentence: str
    began: float
    last: float = 0.0
    gone: float = 0.0
    """When it was last found gone at a key."""
    calls: int = 0
    keys: dict[str, float] = field(default_factory=dict)
    """Key → when a call on it last met the cause (monotonic seconds)."""

    @property
    def seconds(self) -> float:
        """Seconds from the first call that met it until it was found gone."""
        return self.gone - self.began


class Trouble:
    """The causes that one process's calls meet."""

    def __init__(self, probe: Probe) -> None:
        self.refused: Counter[str] = Counter()
        """Code of the error → calls that got it, since the process started."""
        self._probe = probe
        self._present: dict[type[errors.Unavailable], Spell] = {}
        self._check = Later(PROBE_SECONDS, self._find_gone)

    @property
    def present(self) -> list[Spell]:
        """The causes that are present, the longest first."""
        return list(self._present.values())

    def note(self, error: errors.Unavailable, detail: BaseException, key: str) -> None:
        """Count a call on `key` that got `error`; `detail` is what Redis or redis-py said."""
        now = time.monotonic()
        self.refused[error.code] += 1
        REDIS_REFUSED.labels(error.code).inc()
        spell = self._present.get(type(error))
        if spell is None:
            spell = self._present[type(error)] = Spell(type(error), str(error), now)
            _log.warning("%s; calls fail with %s (%s)", error, error.code, details(detail))
        spell.last, spell.calls = now, spell.calls + 1
        if key in spell.keys or len(spell.keys) < KEYS:
            spell.keys[key] = now
        self._check.ask()

    def close(self) -> None:
        """Probe no more."""
        self._check.close()

    async def _find_gone(self) -> bool:
        """Probe the keys of every present cause, and end those that are gone.

        Returns:
            Whether any is left.
        """
        for spell in self.present:
            for key, met in list(spell.keys.items()):
                if await self._probe(key) is not spell.error and spell.keys[key] == met:
                    del spell.keys[key]
                    spell.gone = time.monotonic()
            if not spell.keys and time.monotonic() - spell.last >= QUIET_SECONDS:
                del self._present[spell.error]
                calls = f"{spell.calls} call{'' if spell.calls == 1 else 's'}"
                _log.warning(
                    "over after %.1f s: %s; %s failed with %s",
                    spell.seconds, spell.sentence, calls, spell.error.code,
                )  # fmt: skip
        return bool(self._present)


def details(error: BaseException) -> str:
    """Return the class and text of the error that an error was made of, on one line.

    redis-py puts whole objects into some texts, with all their fields; they are left out.
    """
    cause = error
    while cause.__cause__ and str(cause.__cause__):
        cause = cause.__cause__
    text = " ".join(_OBJECT.sub("", str(cause)).split())
    return f"{type(cause).__name__}: {text[:LONGEST_DETAIL]}"
