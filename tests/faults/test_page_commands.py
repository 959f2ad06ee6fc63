"""The commands of README and the pages, typed at a real `rq-broker dev` from top to bottom."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from rq_broker.api.audit_log import JSON_LINES
from rq_broker.cli import main
from rq_broker.client import Client
from tests.pages import PAGES, commands
from tests.processes import Child, children, end_redis, store_url

WITH_CURL = [name for name, text in PAGES.items() if any(commands(text, "curl"))]


@pytest.fixture
def dev(tmp_path: Path) -> Iterator[Child]:
    with children(tmp_path) as crew:
        child = crew.serve("dev", cwd=tmp_path)
        child.ready()
        yield child
        child.kill()
        end_redis(store_url(child))


def kept(value: str, address: str, words: list[str]) -> str:
    """Return the value of a header; what the command before it keeps in a variable is asked for."""
    if value == "$etag":
        return httpx.get(address).headers["etag"]
    if value != '"$line"':
        return value
    url, type_, request_id = address.replace("/v1/", "/types/").rsplit("/", 2)
    move = {"request_id": request_id, **json.loads(words[words.index("-d") + 1])}
    answer = httpx.post(f"{url}/{type_}/what-if", json=move)
    assert answer.is_success, f"{address}: {answer.text}"
    return f'"{answer.json()["data"]["line"]}"'


def curl(words: list[str], url: str, *, waits: bool = False) -> Any:
    """Do what curl does with these words, at this server; return the answer's data.

    `waits`: as long as they say, not for a second.
    """
    method, address, body = "", "", None
    headers = {"content-type": "application/x-www-form-urlencoded"} if "-d" in words else {}
    rest = iter(words[1:])
    for word in rest:
        if word == "-X":
            method = next(rest)
        elif word == "-d":
            body = next(rest)
        elif word == "-H":
            name, _, value = next(rest).partition(": ")
            headers[name] = kept(value, address, words)
        elif word in {"-c", "-b"}:
            next(rest)  # a file for cookies: `dev` lets everybody in without one
        elif word not in {"-s", "-g", "-sN"}:
            assert word.startswith("http://127.0.0.1:8080/"), word
            address = word.replace("http://127.0.0.1:8080", url)
    if not waits:
        address = re.sub(r"wait=\d+", "wait=1", address)
    if "-sN" in words:  # an answer without end
        with httpx.stream("GET", address) as stream:
            return next(stream.iter_lines())
    answer = httpx.request(
        method or ("POST" if body else "GET"), address, content=body, headers=headers
    )
    assert answer.is_success, f"{words}: {answer.text}"
    if answer.headers["content-type"] == JSON_LINES:
        return [json.loads(line) for line in answer.text.splitlines()]
    assert answer.json()["ok"]
    return answer.json()["data"]


def test_the_quick_start_ends_in_a_callback(dev: Child) -> None:
    """README's commands, pasted as a block, show a job running, its callback, and give it back."""
    submit, read, inbox, done = [words for words, _ in commands(PAGES["README.md"], "curl")]
    assert curl(submit, dev.url)["RequestID"] == "d"
    job = curl(read, dev.url, waits=True)
    assert (job["Status"], job["Hosts"]) == ("running", ["host1"])
    (received,) = curl(inbox, dev.url)
    assert received["path"] == "abc"
    assert received["body"]["type"] == "job.granted"
    assert curl(done, dev.url) == {}
    assert curl(read, dev.url)["Status"] == "done"


@pytest.mark.parametrize("name", [name for name in WITH_CURL if name != "README.md"])
def test_the_commands_of_a_page_succeed(dev: Child, name: str) -> None:
    """After the quick start's submit, each curl command of a page is answered without an error."""
    curl(next(words for words, _ in commands(PAGES["README.md"], "curl")), dev.url)
    for words, _ in commands(PAGES[name], "curl"):
        curl(words, dev.url)


def test_the_hold_of_the_readme_is_granted(dev: Child) -> None:
    """README's line of Python, pasted as it stands, holds capacity at `make run`."""
    (line,) = re.findall(r"`(with broker\.hold.*?:)`", PAGES["README.md"])
    with Client(dev.url) as broker:
        names: dict[str, Any] = {"broker": broker}
        exec(f"{line}\n    hosts = grant.hosts", names)
    assert list(names["hosts"]) == ["host1"]


def test_the_commands_of_the_command_line_succeed(
    dev: Child, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each `rq-broker` command of its page does what the page says, one after the other."""
    monkeypatch.setenv("RQ_BROKER_SERVER", dev.url)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for words, _ in commands(PAGES["rq_broker/api/docs/command-line.md"], "rq-broker"):
        result = CliRunner().invoke(main, words[1:])
        assert result.exit_code == 0, f"{words}: {result.output}"
