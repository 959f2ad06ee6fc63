"""Whom the commands that speak HTTP call, as whom, and the exit codes that tell how it went."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import httpx
import pytest
from click.testing import CliRunner, Result

from rq_broker.cli.connecting import Connection, with_client, with_connection
from rq_broker.cli.exits import ExitCode, exit_code_of
from rq_broker.client import Client
from rq_broker.domain import errors
from rq_broker.store.embedded import free_port

CONFIG = """
profile = "lab"
[profiles.lab]
server = "https://lab.test/"
token = "of-lab"
[profiles.bare]
server = "https://bare.test"
"""


@click.command()
@with_connection
def shown(connection: Connection) -> None:
    click.echo(f"{connection.url} {connection.token}")


@pytest.fixture(autouse=True)
def _config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rq-broker" / "config.toml"
    path.parent.mkdir()
    path.write_text(CONFIG)
    path.chmod(0o600)
    (tmp_path / "token").write_text("of-file\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def run(words: str, variables: str = "") -> Result:
    """Run `shown` with these options, and these variables without their RQ_BROKER_."""
    pairs = (variable.split("=", 1) for variable in variables.split())
    env = {f"RQ_BROKER_{name}": value for name, value in pairs}
    return CliRunner().invoke(shown, words.split(), env=env)


@pytest.mark.parametrize(
    ("words", "variables", "url", "token"),
    [
        ("", "", "https://lab.test", "of-lab"),
        ("--profile bare", "", "https://bare.test", None),
        ("", "PROFILE=bare", "https://bare.test", None),
        ("--profile lab", "PROFILE=bare", "https://lab.test", "of-lab"),
        ("--server http://a.test/", "", "http://a.test", None),
        ("--server http://a.test", "PROFILE=lab", "http://a.test", None),
        ("", "SERVER=http://a.test", "http://a.test", None),
        ("", "SERVER=http://a.test TOKEN=t", "http://a.test", "t"),
        ("--profile lab", "SERVER=http://a.test TOKEN=t", "https://lab.test", "of-lab"),
        ("--profile bare", "TOKEN=t", "https://bare.test", "t"),
        ("", "TOKEN=t", "https://lab.test", "t"),
        ("--token typed", "TOKEN=t", "https://lab.test", "typed"),
        ("--token typed --profile lab", "", "https://lab.test", "typed"),
        ("--token-file token", "TOKEN=t", "https://lab.test", "of-file"),
        ("--token typed", "TOKEN_FILE=token", "https://lab.test", "typed"),
        ("", "TOKEN_FILE=token", "https://lab.test", "of-file"),
    ],
)
def test_who_is_called_as_whom(words: str, variables: str, url: str, token: str | None) -> None:
    """An option wins over a variable, that over a profile, whose token goes to its server only."""
    result = run(words, variables)
    assert (result.stdout, result.exit_code) == (f"{url} {token}\n", 0), result.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--server http://a.test --profile lab", "--server and --profile both"),
        ("--token t --token-file token", "--token and --token-file both"),
        ("--profile lap", "no profile 'lap'"),
        ("--token-file nowhere", "nowhere: No such file"),
        ("--token-file rq-broker/config.toml", "must hold one line"),
        ("--token é", "characters that no token has"),
        ("--server a.test", "'a.test' is no URL"),
    ],
)
def test_a_wrong_use(words: str, sentence: str) -> None:
    """What contradicts itself, or names nothing, ends with 2 and says so in a sentence."""
    result = run(words)
    assert (result.exit_code, result.stdout) == (ExitCode.USAGE, "")
    assert sentence in result.stderr


def test_without_anything_the_local_api_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without options, variables and configuration it is the address that `dev` serves on."""
    monkeypatch.setenv("XDG_CONFIG_HOME", "/nowhere")
    assert run("").stdout == "http://127.0.0.1:8080 None\n"


def test_a_token_on_the_command_line_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """Every user of the machine sees it there, so the command says what to use instead."""
    run("--token secret")
    assert "visible to every user" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.Invalid, 2),
        (errors.CallbackForbidden, 2),
        (errors.Internal, 1),
        (errors.QueueFull, 1),
        (errors.RedisLoading, 3),
        (errors.OlderNotifiers, 3),
        (errors.JobNotFound, 4),
        (errors.HostNotFound, 4),
        (errors.TokenExpired, 5),
        (errors.Unauthenticated, 5),
        (errors.Forbidden, 5),
        (errors.NoRole, 5),
        (errors.DuplicateRequestId, 6),
        (errors.StaleFence, 6),
    ],
)
def test_the_exit_code_of_a_refusal(error: type[errors.BrokerError], code: int) -> None:
    """Its kind ends the command; stderr has sentence, stable code, and how a token is given."""
    assert exit_code_of(error("x")) == code

    @click.command()
    @with_client
    def refused(client: Client) -> None:
        assert client
        raise error("The broker says no.")

    result = CliRunner().invoke(refused)
    assert (result.exit_code, result.stdout) == (code, "")
    hint = "Give the token by RQ_BROKER_TOKEN, by --token-file, or in a profile.\n"
    told = hint if error.status == 401 else ""
    assert result.stderr == f"Error: The broker says no ({error.code})\n{told}"


def test_a_broker_that_does_not_answer() -> None:
    """The command ends with 3 and names the address."""

    @click.command()
    @with_connection
    def called(connection: Connection) -> None:
        with connection.client(retries=0) as client:
            client.types()

    url = f"http://127.0.0.1:{free_port()}"
    result = CliRunner().invoke(called, ["--server", url])
    assert result.exit_code == ExitCode.UNREACHABLE
    assert f"no answer from {url}" in result.stderr


async def test_both_clients_show_the_token() -> None:
    """The clients of a connection call its server with its token."""
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json={"ok": True, "data": {}})

    options: dict[str, Any] = {
        "base_url": "http://a.test",
        "transport": httpx.MockTransport(answer),
    }
    connection = Connection("http://a.test", "t")
    with connection.client(http=httpx.Client(**options)) as client:
        client.types()
    async with connection.async_client(http=httpx.AsyncClient(**options)) as async_client:
        await async_client.types()
    assert [request.headers["authorization"] for request in asked] == ["Bearer t"] * 2
