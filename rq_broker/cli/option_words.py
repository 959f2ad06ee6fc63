"""Names the options of a command where the API's sentence names the fields that they set."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import click

_SET_BY: Mapping[str, Sequence[str]] = {
    "count": ("array",),
    "destination": ("reset", "requeue"),
    "keys": ("file",),
    "last_event_id": ("after",),
    "position": ("to", "front", "back"),
}
"""Field → the parameters that set it. All other fields are set by the parameter of their name."""
_NEEDS: Mapping[str, str] = {
    r"data: require and forbid": "--require and --forbid",
    r"data\.instances\[\d+\]\.count": "--count",
    r"data\.instances(?=:? (?:ask|need))": "--need and --count",
    r"data\.instances\[\d+\]\.": "--need ",
    r"data\.instances\[\d+\]": "--need",
    r"data\.host_aggregate": "--in",
    r"data\.(require|forbid)\[\d+\]": r"--\1",
    r"data\.(require|forbid|spread)": r"--\1",
}
"""Place in a demand, as a sentence begins with it → what said it, unless --data did."""
_FIELD = re.compile(r"(^|\bgoes with |\bwith )([a-z_]+)(?:\[\d+\])?(?![a-z_\[])(\.(?=\w))?")
"""A field, where sentences have one: at their beginning, and where it goes with another one."""


def in_options(sentence: str) -> str:
    """Return a sentence of the API about its fields in the words of the running command."""
    context = click.get_current_context(silent=True)
    if context is None:
        return sentence
    if context.params.get("needs") is not None and context.params.get("data") is None:
        for place, words in _NEEDS.items():
            changed, found = re.subn(f"^{place}", words, sentence)
            if found:
                return changed
    flags = {
        option.name: option.opts[0]
        for option in context.command.params
        if isinstance(option, click.Option)
    }

    def flag_of(field: str) -> str | None:
        names = [name for name in _SET_BY.get(field, ()) if name in flags]
        given = [name for name in names if context.params.get(name) not in (None, False)]
        return flags.get(next(iter([*given, *names]), field))

    def word(match: re.Match[str]) -> str:
        flag = flag_of(match[2])
        return match[0] if flag is None else f"{match[1]}{flag}{' ' if match[3] else ''}"

    return _FIELD.sub(word, sentence)
