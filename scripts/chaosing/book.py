"""What was done and what was seen, written by every thread of the script."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Book:
    """Counts of acts and sightings, and sentences about what must not happen."""

    done: Counter[str] = field(default_factory=Counter)
    """Act → how many times it was carried out."""
    refused: Counter[str] = field(default_factory=Counter)
    """Act → how many times the cloud refused it or did not end it in time."""
    seen: Counter[str] = field(default_factory=Counter)
    """What clients saw → how many times."""
    failed_boots: Counter[str] = field(default_factory=Counter)
    """Cause of a boot that failed → how many times; written by one thread a boot."""
    faults: dict[str, list[str]] = field(default_factory=dict)
    """Rule → a sentence for each time it was broken."""
    begun: float = field(default_factory=time.monotonic)
    """When the script began, monotonic."""
    verbose: bool = True
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def say(self, sentence: str) -> None:
        """Print a sentence behind the seconds since the script began."""
        if self.verbose:
            print(f"{time.monotonic() - self.begun:5.0f} s  {sentence}", flush=True)

    def count(self, what: str) -> None:
        """Count something that a client saw."""
        with self._lock:
            self.seen[what] += 1

    def fault(self, rule: str, sentence: str) -> None:
        """Record that a rule was broken."""
        with self._lock:
            self.faults.setdefault(rule, []).append(sentence)
        self.say(f"BROKEN: {rule}: {sentence}")

    @contextmanager
    def act(self, name: str, *expected: type[Exception]) -> Iterator[None]:
        """Count an act: done, or refused if it raises one of the expected exceptions."""
        try:
            yield
        except expected as error:
            with self._lock:
                self.refused[name] += 1
            self.say(f"{name}: refused: {str(error)[:160]}")
        else:
            with self._lock:
                self.done[name] += 1
            self.say(name)
