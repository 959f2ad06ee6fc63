"""The command line: options and variables, the guard, scripts, audit."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from typing import Any

import click
import httpx
import pytest
from click.testing import CliRunner, Result
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from starlette.applications import Starlette

from rq_broker import __version__, cli
from rq_broker.domain.jobs import Status
from rq_broker.settings import Settings
from rq_broker.store.broker import Broker
from rq_broker.store.connection import connect
from rq_broker.store.embedded import Server
from rq_broker.store.scripts import SCRIPTS
from tests.making import TYPE, bring


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    """Keep what `api` leaves for its workers from the next test."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def invoke(*args: str, **variables: str) -> Result:
    return CliRunner().invoke(cli.main, args, env=variables)


# Options


@pytest.fixture
def said() -> Iterator[Callable[..., Settings]]:
    """A command with every option, which gives back the settings it was given."""
    heard: list[Settings] = []

    @click.command()
    @cli._with(*cli._OPTIONS)
    def command(settings: Settings) -> None:
        heard.append(settings)

    def say(*args: str, **variables: str) -> Settings:
        found = CliRunner().invoke(command, args, env=variables)
        assert found.exit_code == 0, found.output
        return heard.pop()

    return say


def test_nothing_said_leaves_the_defaults(said: Callable[..., Settings]) -> None:
    """Without options and variables the settings are those of Settings."""
    assert said() == Settings()


EVERYTHING = {
    "redis": ("redis://r:1/2", "redis://r:1/2"),
    "host": ("::1", "::1"),
    "port": ("9", 9),
    "workers": ("3", 3),
    "callback-base": ("http://b/", "http://b/"),
    "callback-allow": ("10.0.0.0/8, hooks.lab", ("10.0.0.0/8", "hooks.lab")),
    "callback-deny": ("10.1.0.0/16", ("10.1.0.0/16",)),
    "callback-ports": ("80,443", (80, 443)),
    "timeout": ("2.5", 2.5),
    "concurrency": ("7", 7),
    "source": ("sources.toml", "sources.toml"),
}


@pytest.mark.parametrize("option", EVERYTHING)
def test_every_option_is_a_variable_too(said: Callable[..., Settings], option: str) -> None:
    """--x and RQ_BROKER_X say the same, and the option wins."""
    text, value = EVERYTHING[option]
    name = option.replace("-", "_")
    by_option = said(f"--{option}", text)
    by_variable = said(**{f"RQ_BROKER_{name.upper()}": text})
    assert getattr(by_option, name) == getattr(by_variable, name) == value
    assert by_option == by_variable != Settings()


def test_no_option_goes_untested() -> None:
    """What the command line takes is in the table above, or has a test of its own."""
    assert {name.replace("-", "_") for name in EVERYTHING} | {"types", "insecure"} == set(
        cli._OPTIONS
    )


def test_types_may_be_said_again(said: Callable[..., Settings]) -> None:
    """A notifier may serve several types, whatever they are called."""
    assert said("--type", "vm", "--type", "a b").types == ("vm", "a b")
    assert said(RQ_BROKER_TYPE="vm kube").types == ("vm", "kube")


def test_insecure_is_a_flag(said: Callable[..., Settings]) -> None:
    """It needs no value as an option, and takes one as a variable."""
    assert said("--insecure").insecure
    assert said(RQ_BROKER_INSECURE="1").insecure
    assert not said(RQ_BROKER_INSECURE="0").insecure


@pytest.mark.parametrize(
    "args",
    [
        ("api", "--port", "0"),
        ("api", "--port", "65536"),
        ("api", "--workers", "0"),
        ("api", "--redis", "nonsense"),
        ("notifier", "--timeout", "0"),
        ("notifier", "--concurrency", "0"),
        ("notifier", "--callback-ports", "80,http"),
        ("notifier", "--callback-allow", "10.0.0.0/33"),
        ("notifier", "--redis", "redis://127.0.0.1:port/0"),
        ("audit", "--redis", "nonsense"),
        ("scripts", "no_verb"),
        ("api", "--no-such-option"),
        ("notifier", "--source", "no-such.toml"),
        ("dev", "--source", "no-such.toml"),
    ],
    ids=" ".join,
)
def test_a_slip_is_answered_in_a_sentence(
    args: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A value that makes no sense ends in an error message and an exit code, not in a traceback."""
    monkeypatch.setattr(cli.uvicorn, "run", _served)
    found = invoke(*args, RQ_BROKER_REDIS="redis://127.0.0.1:1/0")
    assert found.exit_code in (1, 2)
    assert isinstance(found.exception, SystemExit)
    assert "Error: " in found.output


def _served(*_: Any, **__: Any) -> None:
    raise AssertionError("it went on to serve")


# The guard


@pytest.mark.parametrize("command", ["api", "dev"])
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1"])
def test_a_foreign_address_is_refused_at_start(
    monkeypatch: pytest.MonkeyPatch, command: str, host: str
) -> None:
    """Before anything is opened or started, and with what to do about it."""
    for name in ("run", "Server"):
        monkeypatch.setattr(cli.uvicorn, name, _served)
    monkeypatch.setattr(cli, "Server", _served)
    found = invoke(command, "--host", host)
    assert found.exit_code == 1
    assert f"--host {host} is not loopback" in found.output
    assert "--insecure" in found.output


def test_insecure_lifts_the_guard(monkeypatch: pytest.MonkeyPatch, redis_server: Server) -> None:
    """Who says --insecure is served as asked."""
    served: dict[str, Any] = {}
    monkeypatch.setattr(cli.uvicorn, "run", lambda _, **how: served.update(how))
    found = invoke("api", "--host", "0.0.0.0", "--insecure", "--redis", redis_server.url)
    assert (found.exit_code, served["host"]) == (0, "0.0.0.0"), found.output


def test_a_redis_that_evicts_is_refused(redis_server: Server) -> None:
    """A queue on a store that drops keys at will is not begun."""
    with Redis.from_url(redis_server.url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            for command in ("api", "notifier"):
                found = invoke(command, "--redis", redis_server.url)
                assert found.exit_code == 1
                assert "noeviction" in found.output
        finally:
            client.config_set("maxmemory-policy", "noeviction")


# Wiring


async def test_the_facade_is_wired(client: AsyncRedis) -> None:
    """What `api` serves submits, explains, and has no inbox unless it is dev's."""
    settings = Settings(callback_base="http://127.0.0.1:1/in/", callback_allow=("127.0.0.0/8",))
    body = {"request_id": "d", "owner_id": "y", "data": {}, "callback": "abc"}
    for dev, inbox in ((False, 404), (True, 200)):
        transport = httpx.ASGITransport(cli.app(settings, client, dev=dev))
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as api:
            assert (await api.get("/inbox/")).status_code == inbox
            assert (await api.post("/v1/vm/", json=body)).status_code == (409 if dev else 201)
            job = (await api.get("/v1/vm/d")).json()["data"]
            assert job["Reason"] == "there is no host"


async def test_a_worker_is_told_what_the_command_line_was(
    monkeypatch: pytest.MonkeyPatch, redis_server: Server
) -> None:
    """Each API process resolves, allows and stores as `api` was told to."""
    workers: list[Starlette] = []
    client = connect(redis_server.url)

    def serve(*_: Any, **__: Any) -> None:
        monkeypatch.setattr(cli, "connect", lambda url: client if url == redis_server.url else None)
        workers.append(cli.app_of_worker())

    monkeypatch.setattr(cli.uvicorn, "run", serve)
    said = ("--redis", redis_server.url, "--callback-base", "http://8.8.8.8/", "--callback-allow",
            "8.8.8.0/24", "--callback-ports", "80,443")  # fmt: skip
    found = await asyncio.to_thread(invoke, "api", *said)
    assert found.exit_code == 0, found.output
    transport = httpx.ASGITransport(workers[0])
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as api:
        body = {"request_id": "w", "owner_id": "y", "data": {}}
        for callback, status in (
            ("abc", 201),
            ("http://8.8.8.8:81/", 400),
            ("http://9.9.9.9", 400),
        ):
            answer = await api.post("/v1/worker", json={**body, "callback": callback})
            assert answer.status_code == status, answer.text
    await client.aclose()


# scripts, audit


def test_scripts_prints_every_contract_and_its_sha() -> None:
    """Services in other languages find each verb, the SHA Redis knows it by, and how to call it."""
    found = invoke("scripts")
    assert found.exit_code == 0
    for script in SCRIPTS.values():
        assert f"{script.name} {script.sha}\n{script.contract}" in found.output


def test_scripts_prints_a_source_that_redis_takes(redis_server: Server) -> None:
    """The source of one verb is whole, includes and all, and hashes to the SHA printed."""
    with Redis.from_url(redis_server.url, decode_responses=True) as client:
        for verb, script in SCRIPTS.items():
            found = invoke("scripts", verb)
            assert found.exit_code == 0
            assert client.script_load(found.stdout_bytes) == script.sha


@pytest.fixture
def url(redis_server: Server) -> str:
    """A store with a job in every status."""

    async def fill() -> None:
        async with connect(redis_server.url) as client:
            await client.flushall()
            for status in Status:
                await bring(Broker(client), status, f"{status}")

    asyncio.run(fill())
    return redis_server.url


def test_a_sound_store_is_clean(url: str) -> None:
    """Nothing found is said in a word, and exit code 0."""
    found = invoke("audit", "--redis", url)
    assert (found.output, found.exit_code) == ("clean\n", 0)


def test_a_finding_is_printed_and_ends_in_an_exit_code(url: str) -> None:
    """What contradicts itself is named with its type, for people and for cron."""
    with Redis.from_url(url) as client:
        client.zadd(f"rqb:{{{TYPE}}}:status:done", {"0000000000000099:ghost": 1})
    found = invoke("audit", "--redis", url)
    assert found.exit_code == 1
    assert f"{TYPE}: fault: " in found.output
    assert "ghost" in found.output
    assert invoke("audit", "--redis", url, "--type", "kube").exit_code == 0


def test_a_note_is_printed_as_a_note(url: str) -> None:
    """What is allowed and worth a look is told from what contradicts itself."""
    with Redis.from_url(url) as client:
        client.hset(f"rqb:{{{TYPE}}}:host:h1", "capacity:VCPU", 0)
    found = invoke("audit", "--redis", url)
    assert f"{TYPE}: note: host h1" in found.output
    assert "fault" not in found.output


def test_an_audit_without_redis_says_so(tmp_path: Any) -> None:
    """A store that is away is a sentence, not a traceback."""
    server = Server(tmp_path)
    server.start()
    server.stop()
    found = invoke("audit", "--redis", server.url)
    assert found.exit_code == 1
    assert "Error: Redis does not answer" in found.output


def test_version_and_help() -> None:
    """`--version` says ours; help names every command."""
    assert __version__ in invoke("--version").output
    said = invoke("--help").output
    assert all(name in said for name in ("dev", "api", "notifier", "scripts", "audit"))
