"""What the output goes to: a terminal of some width and with colours, or not."""

from __future__ import annotations

import os
import shutil
import sys

import click


def is_terminal() -> bool:
    """Tell whether the standard output is a terminal."""
    return sys.stdout.isatty()


def may_ask() -> bool:
    """Tell whether somebody sits at a terminal who can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def has_colours() -> bool:
    """Tell whether to print in colours: a terminal's own, unless the environment says otherwise.

    NO_COLOR wins over FORCE_COLOR, and both over what the terminal is.
    """
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR", "0") not in ("", "0"):
        return True
    return is_terminal() and os.environ.get("TERM") != "dumb"


def width() -> int | None:
    """Return how many characters fit in a line; None where nothing is to be cut."""
    return shutil.get_terminal_size().columns if is_terminal() else None


def styled(text: str, style: str) -> str:
    """Return a text in a colour, or as it is; `style` names a colour, bold or dim."""
    if not style or not has_colours():
        return text
    if style in ("bold", "dim"):
        return click.style(text, **{style: True})
    return click.style(text, fg=style)


def show(line: str) -> None:
    """Print a line, with the colours that it has."""
    click.echo(line, color=has_colours() or None)
