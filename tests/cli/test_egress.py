"""Where callbacks may go under the settings of one process."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from rq_broker.cli import egress as cli_egress, main
from rq_broker.cli.egress import egress_of, keep_servers_closed
from rq_broker.domain.errors import CallbackForbidden, Invalid
from rq_broker.settings import Settings
from rq_broker.store.connection import in_memory

LOOPBACKS = ("127.0.0.0/8", "::1/128")


def allows(settings: Settings, url: str, *, own_api: bool = True) -> bool:
    try:
        egress_of(settings, own_api=own_api).check_url(url)
    except CallbackForbidden:
        return False
    return True


def test_by_default_loopback_and_public_addresses_are_closed() -> None:
    """Without any option callbacks stay in private networks."""
    settings = Settings()
    assert allows(settings, "http://10.1.2.3/hook")
    assert not allows(settings, "http://127.0.0.1:9000/hook")
    assert not allows(settings, "http://169.254.169.254/latest")
    assert not allows(settings, "http://8.8.8.8/hook")


def test_the_lists_apply() -> None:
    """An allowed network is open, a denied one closed, and so is every port not listed."""
    settings = Settings(
        callback_allow=("8.8.8.0/24",), callback_deny=("10.0.0.0/8",), callback_ports=(443,)
    )
    assert allows(settings, "https://8.8.8.8/hook")
    assert not allows(settings, "http://8.8.8.8/hook")
    assert not allows(settings, "https://10.1.2.3/hook")


@pytest.mark.parametrize(
    "redis",
    [
        "redis://127.0.0.1:6379/0",
        "redis://localhost:6379/0",
        "redis://user:word@127.0.0.1:6379/0",
        "redis://127.0.0.1",
        "redis://localhost",
    ],
)
def test_the_brokers_redis_is_always_closed(redis: str) -> None:
    """A callback to the broker's own Redis is refused even where loopback is open."""
    settings = Settings(redis=redis, callback_allow=LOOPBACKS)
    assert allows(settings, "http://127.0.0.1:9000/hook")
    assert not allows(settings, "http://127.0.0.1:6379/hook")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_the_brokers_api_is_closed_except_for_devs_inbox(host: str) -> None:
    """The API receives no callbacks, except in dev, where the inbox is in the same process."""
    settings = Settings(host=host, port=8080, callback_allow=LOOPBACKS)
    assert not allows(settings, "http://127.0.0.1:8080/hook")
    assert allows(settings, "http://127.0.0.1:8080/inbox/abc", own_api=False)


def test_an_api_that_serves_every_address_is_closed_on_each() -> None:
    """An API on 0.0.0.0 serves on loopback too, so callbacks to loopback are refused."""
    settings = Settings(host="0.0.0.0", port=8080, callback_allow=LOOPBACKS)
    assert not allows(settings, "http://127.0.0.1:8080/hook")


def test_a_list_that_cannot_be_read_is_refused() -> None:
    """A mistake in a list is reported at start, by the option's name."""
    with pytest.raises(Invalid, match="callback-allow"):
        egress_of(Settings(callback_allow=("10.0.0.0/33",)))


@pytest.mark.parametrize(
    "base",
    [
        *("", "lab", "/inbox/", "ftp://lab/", "http://", "http://a b/", "http://lab:99999/"),
        *("http://[x/", "http://127.0.0.1:9000/"),
    ],
)
def test_a_base_that_cannot_be_called_is_refused(base: str) -> None:
    """A --callback-base that is no URL, or that the rules close, ends the start by its name."""
    with pytest.raises(Invalid, match=re.escape(f"--callback-base {base} cannot be called: ")):
        egress_of(Settings(callback_base=base, callback_deny=("127.0.0.0/8",)))


def test_a_base_that_may_be_called_is_accepted() -> None:
    """The rules that open an address to callbacks open it as a base."""
    egress_of(Settings(callback_base="http://127.0.0.1:9000/x/", callback_allow=("127.0.0.0/8",)))


@pytest.mark.parametrize("command", ["api", "notifier"])
def test_a_bad_base_ends_the_start_before_redis_is_dialled(command: str) -> None:
    """The process ends with the sentence alone, whether or not its Redis answers."""
    args = [command, "--redis", "redis://127.0.0.1:1", "--callback-base", "lab"]
    result = CliRunner().invoke(main, args)
    assert result.exit_code == 1
    assert result.output.startswith("Error: --callback-base lab cannot be called: ")
    assert result.output.count("\n") == 1


async def test_servers_that_join_redis_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that joins later takes no callbacks, also where its URL was allowed before."""
    answers: Iterator[Exception | list[tuple[str, int]]]
    answers = iter([OSError("no answer"), [("10.0.0.7", 7001)], [("10.0.0.8", 7001)]])
    done = asyncio.Event()

    async def servers_of(_: object) -> list[tuple[str, int]]:
        answer = next(answers, None)
        if answer is None:
            done.set()
            return []
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(cli_egress, "servers_of", servers_of)
    monkeypatch.setattr(cli_egress, "SERVERS_SECONDS", 0.001)
    egress = egress_of(Settings())
    for host in ("10.0.0.7", "10.0.0.8"):
        egress.check_url(f"http://{host}:7001/hook")
    closing = asyncio.create_task(keep_servers_closed(egress, in_memory()))
    await asyncio.wait_for(done.wait(), 10)
    closing.cancel()
    for host in ("10.0.0.7", "10.0.0.8"):
        with pytest.raises(CallbackForbidden):
            egress.check_url(f"http://{host}:7001/hook")
        egress.check_url(f"http://{host}:7002/hook")
