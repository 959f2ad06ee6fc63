"""The configuration of the commands that speak HTTP: named profiles in a TOML file.

`profile` names the one to use where none is named. Each table `[profiles.<name>]` has a `server`,
and a `token` or a `token_file`, which is relative to the configuration.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

_TOP = {"profile": str, "profiles": dict}
_KEYS = ("server", "token", "token_file")


class BadConfig(click.ClickException):
    """The file is wrong; the sentence names it, the line and the key."""

    exit_code = 2

    def __init__(self, path: Path, line: int | None, sentence: str) -> None:
        where = f"{path}, line {line}" if line else str(path)
        super().__init__(f"{where}: {sentence} (bad_config)")


@dataclass(frozen=True, slots=True)
class Profile:
    """Where to call, and how to say who calls."""

    server: str | None = None
    token: str | None = None
    token_file: str | None = None
    """An absolute path."""


@dataclass(frozen=True, slots=True)
class Config:
    """What the file holds; empty where there is none."""

    path: Path
    profiles: Mapping[str, Profile]
    default: str | None = None
    """Name of the profile to use where none is named."""

    def profile(self, name: str) -> Profile:
        """Return the profile of this name. Raises click.UsageError if there is none."""
        if name not in self.profiles:
            names = ", ".join(self.profiles) or "none"
            raise click.UsageError(f"{self.path} has no profile '{name}'; it has {names}")
        return self.profiles[name]


def config_path() -> Path:
    """Return where the configuration is, by the XDG base directories."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    # The specification has relative paths ignored.
    folder = Path(base) if Path(base).is_absolute() else Path.home() / ".config"
    return folder / "rq-broker" / "config.toml"


def read_config() -> Config:
    """Read the configuration.

    Raises:
        BadConfig: It is no TOML, has a key that is not known or a value of another type, cannot be
            read, or holds a token and others may read it.
    """
    path = config_path()
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read().decode()
    except FileNotFoundError:
        return Config(path, {})
    except OSError as error:
        raise BadConfig(path, None, error.strerror or str(error)) from None
    except UnicodeDecodeError:
        raise BadConfig(path, None, "it is not UTF-8") from None
    config = _parsed(path, text)
    with_token = [name for name, profile in config.profiles.items() if profile.token is not None]
    if with_token and os.name == "posix" and mode & 0o077:
        raise BadConfig(
            path,
            _line_of(text, f"profiles.{with_token[0]}", "token"),
            f"profile '{with_token[0]}' holds a `token`, and other users may read the file: "
            f"chmod 600 it, or use `token_file`",
        )
    return config


def _parsed(path: Path, text: str) -> Config:
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"line (\d+)", str(error))
        sentence = re.sub(r" \(at [^)]*\)$", "", str(error))
        number = int(line[1]) if line else len(text.splitlines())
        near = text.splitlines()[number - 1].partition("=")[0].strip() if text.strip() else ""
        raise BadConfig(path, number, f"{sentence}, at `{near}`") from None
    except (ValueError, RecursionError):  # tomllib lets these through
        raise BadConfig(path, None, "a number is too long, or lists are nested too deep") from None
    for key, value in tables.items():
        if key not in _TOP:
            raise BadConfig(path, _line_of(text, "", key), f"the key `{key}` is not known")
        if not isinstance(value, _TOP[key]):
            kind = "a string" if key == "profile" else "a table"
            raise BadConfig(path, _line_of(text, "", key), f"`{key}` must be {kind}")
    profiles = {
        name: _profile(path, text, name, table)
        for name, table in tables.get("profiles", {}).items()
    }
    default = tables.get("profile")
    if default is not None and default not in profiles:
        line_number = _line_of(text, "", "profile")
        raise BadConfig(path, line_number, f"`profile` names '{default}', which is no profile here")
    return Config(path, profiles, default)


def _profile(path: Path, text: str, name: str, table: Any) -> Profile:
    section = f"profiles.{name}"
    if not isinstance(table, dict):
        raise BadConfig(path, _line_of(text, "profiles", name), f"`{section}` must be a table")
    for key, value in table.items():
        line = _line_of(text, section, key)
        if key not in _KEYS:
            raise BadConfig(path, line, f"the key `{section}.{key}` is not known")
        if not isinstance(value, str) or not value:
            raise BadConfig(path, line, f"`{section}.{key}` must be a string that is not empty")
        if not value.isprintable():
            raise BadConfig(path, line, f"`{section}.{key}` must not contain control characters")
    if "token" in table and "token_file" in table:
        line = _line_of(text, section, "token_file")
        raise BadConfig(path, line, f"`{section}` has `token` and `token_file`: give one of them")
    token_file = table.get("token_file")
    if token_file is not None:
        try:
            token_file = str(path.parent / Path(token_file).expanduser())
        except RuntimeError:
            line = _line_of(text, section, "token_file")
            sentence = f"`{section}.token_file` begins with the home of a user that there is not"
            raise BadConfig(path, line, sentence) from None
    return Profile(table.get("server"), table.get("token"), token_file)


def _line_of(text: str, section: str, key: str) -> int | None:
    """Return the line that sets a key of a section; else that of the section, or None."""
    section, key = _bare(section), _bare(key)
    wanted = ".".join(filter(None, [section, key]))
    here, found = "", None
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[\[?\s*([^\]]+?)\s*\]", line):
            here = _bare(header[1])
            if here == wanted:
                return number
            found = number if here == section else found
        word = re.match(r"\s*([\w.\"' -]+?)\s*=", line)
        if word and ".".join(filter(None, [here, _bare(word[1])])) == wanted:
            return number
    return found


def _bare(key: str) -> str:
    """Return a key without the quotes and spaces that TOML allows in it."""
    return re.sub(r"[\s\"']", "", key)
