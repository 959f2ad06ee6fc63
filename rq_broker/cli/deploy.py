"""`rq-broker deploy`: the files that run API, notifiers and what they need under a supervisor.

They are plain files below `deployments`, one folder a supervisor, and are handed on as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import click

TARGETS = {
    "systemd": "Units of the API and of notifiers, hardened, and the file of their options.",
    "compose": "A compose file with its own Redis, and the Dockerfile of its image.",
    "helm": "A chart of API and notifiers, for a Redis of yours.",
}
"""Folders below `deployments`, and what they hold."""


@click.group()
def deploy() -> None:
    """Print files that run the broker for real.

    They begin with how to install them, and need nothing but what they name.
    """


def _command(target: str, help_: str) -> click.Command:
    """Make the command that hands on the files of a folder."""

    @click.command(target, help=help_)
    @click.option("--output", type=click.Path(file_okay=False, path_type=Path), metavar="DIR",
                  help="Write the files into this directory; without it, print them.")  # fmt: skip
    @click.option("--force", is_flag=True, help="Replace files that differ.")
    def command(output: Path | None, *, force: bool) -> None:
        contents = dict(_files(files(__package__) / "deployments" / target))
        if output is None:
            for name, text in contents.items():
                click.echo(f"# ==> {name} <==\n{text}")
        else:
            _write(contents, output, force=force)

    return command


for _target, _help in TARGETS.items():
    deploy.add_command(_command(_target, _help))


def _write(contents: Mapping[str, str], output: Path, *, force: bool) -> None:
    """Write files into a directory, all or none; raise UsageError if one would be lost."""
    changed = [name for name, text in contents.items() if _differs(output / name, text)]
    if changed and not force:
        raise click.UsageError(
            f"{output} has other files of these names: {', '.join(changed)}; --force replaces them"
        )
    for name, text in contents.items():
        path = output / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        click.echo(path)


def _files(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the path below the folder, and the text, of each file; those of the folder first."""
    entries = sorted(folder.iterdir(), key=lambda entry: (entry.is_dir(), entry.name))
    for entry in entries:
        if entry.is_dir():
            yield from _files(entry, f"{prefix}{entry.name}/")
        else:
            yield prefix + entry.name, entry.read_text()


def _differs(path: Path, text: str) -> bool:
    return path.exists() and (not path.is_file() or path.read_text() != text)
