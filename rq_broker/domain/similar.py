"""Names that somebody may have meant by one that is not known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from itertools import islice

_MOST_COMPARED = 256
"""Names that one is compared with, some 2 ms of work; of more the last in order are left out."""
_MOST_SHOWN = 2
_LEAST_ALIKE = 0.7
"""How alike names must be, from 0 to 1: `Memroy` and `Memory` are, `GPU` and `VCPU` are not."""
_LONGEST = 60
"""Characters of a name beyond which nothing is compared: the work grows with their square."""


def similar_names(name: str, known: Iterable[str]) -> tuple[str, ...]:
    """Return the names that are like this one, the most alike first.

    Names that differ by case only are always alike, and go first.
    """
    if len(name) > _LONGEST:
        return ()
    by_folded = {each.casefold(): each for each in islice(sorted(known), _MOST_COMPARED)}
    similar = get_close_matches(name.casefold(), by_folded, _MOST_SHOWN, _LEAST_ALIKE)
    return tuple(by_folded[each] for each in similar)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean VCPU?` for names that are like this one, '' if there is none."""
    return asked(similar_names(name, known))


def asked(names: Sequence[str]) -> str:
    """Return `; did you mean VCPU?` for names, '' if there is none."""
    return f"; did you mean {' or '.join(names)}?" if names else ""
