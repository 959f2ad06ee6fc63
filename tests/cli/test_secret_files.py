"""Secrets from files and variables: none reaches a sentence or a log line."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from pathlib import Path
from typing import Any

import click
import pytest
import redis
from click.testing import CliRunner, Result

from rq_broker.cli.options import with_settings
from rq_broker.domain.capacity import Host
from rq_broker.settings import Settings
from rq_broker.store.broker import Broker
from rq_broker.store.connection import connect
from rq_broker.store.embedded import Server
from tests.cli.running import invoke

URL = "redis://u:s3cret@127.0.0.1:1/0"


@click.command()
@with_settings("redis", "log_level")
def show(settings: Settings) -> None:
    click.echo(json.dumps([settings.redis, repr(settings)]))


def run(*args: str, **variables: str) -> Result:
    return CliRunner().invoke(show, args, env=variables)


@pytest.fixture
def url_file(tmp_path: Path) -> str:
    path = tmp_path / "redis"
    path.write_text(f"{URL}\n")
    return str(path)


def test_redis_is_read_from_a_file(url_file: str, caplog: pytest.LogCaptureFixture) -> None:
    """By option and by variable; an option wins over a variable; nothing shows the password."""
    for result in (
        run("--redis-file", url_file),
        run(RQ_BROKER_REDIS_FILE=url_file),
        run("--redis-file", url_file, RQ_BROKER_REDIS="redis://127.0.0.1:2/0"),
        run(RQ_BROKER_REDIS=URL),
    ):
        redis, shown = json.loads(result.output)
        assert (redis, "s3cret" in shown) == (URL, False)
    result = run("--redis", "redis://127.0.0.1:2/0", RQ_BROKER_REDIS_FILE=url_file)
    assert json.loads(result.output)[0] == "redis://127.0.0.1:2/0"
    assert not caplog.messages


def test_a_password_on_the_command_line_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """The line in the log says where to put it, and does not repeat it."""
    assert run("--redis", URL).exit_code == 0
    (line,) = caplog.messages
    assert ("--redis-file" in line, "s3cret" in line) == (True, False)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "No such file"),
        (b"", "must hold one line"),
        (b"redis://:s3cret@h\nredis://:s3cret@g\n", "must hold one line"),
        (b"\xff\xfes3cret", "it is not text"),
        (b"http://:s3cret@h", "http://h must begin with one of"),
    ],
)
def test_a_wrong_file_is_told_without_its_content(
    tmp_path: Path, content: bytes | None, sentence: str
) -> None:
    """The sentence names the file and what is wrong with it, and nothing that is in it."""
    path = tmp_path / "redis"
    if content is not None:
        path.write_bytes(content)
    result = run("--redis-file", str(path))
    assert (result.exit_code, sentence in result.output) == (1, True), result.output
    assert "s3cret" not in result.output


def test_two_places_of_redis_are_refused(url_file: str) -> None:
    """Both options on one command line say two things."""
    result: Any = run("--redis", "redis://127.0.0.1:2/0", "--redis-file", url_file)
    assert (result.exit_code, "give one of them" in result.output) == (1, True)


def test_signing_keys_are_encrypted_by_command(tmp_path: Path, redis_server: Server) -> None:
    """The command encrypts what there is, once; it skips comments and blank lines of the file,
    and leaves a line in the audit log that holds no key."""
    path = tmp_path / "keys"
    path.write_text(f"# new\n{b64encode(bytes(32)).decode()}\n\n")
    options = ("encrypt-keys", "--redis", redis_server.url, "--secret-key-file", str(path))
    with redis.Redis(port=redis_server.port) as client:
        client.flushall()
    asyncio.run(_set_keys(redis_server.url))
    outputs = [invoke(*options).output for _ in range(2)]
    assert outputs == [f"encrypted the signing keys of {n}\n" for n in ("1 owner", "0 owners")]
    (line,) = invoke("log", "--redis", redis_server.url, "--json").output.splitlines()
    logged = json.loads(line)
    assert logged.pop("who").startswith("cli:")
    kept = {name: logged[name] for name in ("type", "verb", "subject", "before", "after")}
    assert kept == {"type": "vm", "verb": "encrypt_keys", "subject": "*", "before": None,
                    "after": {"keys": 1}}  # fmt: skip
    path.write_text("# none\n")
    assert "has no key" in invoke(*options).output
    assert "is required" in invoke(*options[:3]).output


async def _set_keys(url: str) -> None:
    client = connect(url)
    broker = Broker(client)
    await broker.set_host("vm", Host("h", {"VCPU": 1}))
    await broker.set_keys("vm", "*", ["whsec_x"])
    await broker.aclose()
    await client.aclose()
