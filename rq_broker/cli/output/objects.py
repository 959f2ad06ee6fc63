"""The output of the commands with `--json`: one object a line, as the API has it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click
import orjson

from rq_broker.cli.output.screen import is_terminal
from rq_broker.cli.output.text import harmless_json


def print_objects(objects: Iterable[Any]) -> None:
    """Print one JSON object a line."""
    on_terminal = is_terminal()
    for value in objects:
        line = orjson.dumps(value).decode()
        click.echo(harmless_json(line) if on_terminal else line)
