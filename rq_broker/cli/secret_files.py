"""Secrets from files: the URL of Redis, and secret keys. No sentence repeats any of it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from rq_broker.domain.errors import Invalid
from rq_broker.settings import Settings
from rq_broker.store.encryption import KeyCipher
from rq_broker.store.redis_url import has_password

_MOST_BYTES = 64 * 1024
"""Most of a file that is read: one that is named by mistake must not fill the memory."""

_log = logging.getLogger(__name__)


def choose_redis(given: dict[str, Any]) -> None:
    """Set `redis` to what `redis_file` holds, if there is one.

    Raises:
        Invalid: The file cannot be read, is not one line, or `--redis` is given beside it.
    """
    path = given.get("redis_file")
    if path is None:
        return
    sources = click.get_current_context().get_parameter_source
    if sources("redis") is ParameterSource.COMMANDLINE:
        if sources("redis_file") is ParameterSource.COMMANDLINE:
            raise Invalid("--redis and --redis-file both say where Redis is: give one of them")
        return  # the option wins over the variable
    lines = read_secret(path, "--redis-file").split()
    if len(lines) != 1:
        raise Invalid(f"--redis-file {path} must hold one line, the URL of Redis")
    given["redis"] = lines[0]


def warn_of_visible_password(url: str) -> None:
    """Log how to hide a password that every user of the machine can see, by `ps`."""
    source = click.get_current_context().get_parameter_source("redis")
    if source is ParameterSource.COMMANDLINE and has_password(url):
        _log.warning(
            "the password in --redis is visible to every user of this machine: put the URL into a"
            " file for --redis-file, or into RQ_BROKER_REDIS"
        )


def cipher_of(settings: Settings) -> KeyCipher:
    """Return what encrypts signing keys, by the settings. Raises Invalid."""
    path = settings.secret_key_file
    if path is None:
        return KeyCipher()
    lines = (line.strip() for line in read_secret(path, "--secret-key-file").splitlines())
    keys = [line for line in lines if line and not line.startswith("#")]
    if not keys:
        raise Invalid(f"--secret-key-file {path} has no key")
    return KeyCipher(keys)


def read_secret(path: str, option: str) -> str:
    """Return the text of a file. Raises Invalid."""
    try:
        with Path(path).open("rb") as file:
            return file.read(_MOST_BYTES).decode()
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise Invalid(f"{option} {path}: {reason}") from None
