"""`rq-broker watch`: a line for each change, until the job ends."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx
import pytest

from rq_broker.client import Client
from rq_broker.domain.errors import Unavailable
from rq_broker.domain.jobs import Status
from rq_broker.store.broker import Broker
from tests import making
from tests.cli.served import Served
from tests.cli.verbs.conftest import Run
from tests.processes import until

OFTEN = ("--interval", "0.1")
"""Less than the whole seconds for which the API would wait."""


def test_the_life_of_a_job(run: Run, api: Served, type_: str) -> None:
    """Each change is told once, from where the watch began to the end."""
    job = api.run(making.submit(api.broker, "d", type_))
    changes: Iterator[Callable[[], object]] = iter(
        [
            lambda: api.run(making.publish(api.broker, type_=type_)),
            lambda: api.run(making.grant(api.broker, job)),
            lambda: api.run(api.broker.transition(type_, "d", Status.RUNNING)),
            lambda: api.run(api.broker.transition(type_, "d", Status.DONE)),
        ]
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.sleep", lambda _: next(changes)())
        result = run("watch", type_, "d", *OFTEN, "--json")
    assert result.exit_code == 0, result.output
    statuses = [json.loads(line)["Status"] for line in result.stdout.splitlines()]
    assert list(dict.fromkeys(statuses)) == ["queued", "granted", "running", "done"]


def test_a_status_is_told_at_once(
    run: Run, api: Served, type_: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long lies between two looks, the API answers as soon as the status is another."""
    api.run(making.bring(api.broker, Status.RUNNING, type_=type_))
    statuses: list[str] = []
    told = threading.Event()

    def tell(job: Mapping[str, Any], *_: object) -> None:
        statuses.append(job["Status"])
        told.set()

    monkeypatch.setattr("rq_broker.cli.verbs.watch._print", tell)
    watch = threading.Thread(target=lambda: run("watch", type_, "d", "--interval", "60"))
    watch.start()
    assert told.wait(30)
    api.run(api.broker.transition(type_, "d", Status.DONE))
    watch.join(30)
    assert not watch.is_alive()
    assert statuses == ["running", "done"]


def test_a_job_that_ends_otherwise(run: Run, api: Served, type_: str) -> None:
    """The exit code tells whether the job was in a status that was asked for."""
    api.run(making.bring(api.broker, Status.ERROR, type_=type_))
    assert run("watch", type_, "d", *OFTEN).exit_code == 0
    assert run("watch", type_, "d", *OFTEN, "--until", "running,done").exit_code == 1
    assert run("watch", type_, "d", *OFTEN, "--until", "odd").exit_code == 2


def test_a_job_that_is_withdrawn(run: Run, api: Served, type_: str) -> None:
    """A job that is withdrawn meanwhile is told so, and ends the watch."""
    api.run(making.submit(api.broker, "d", type_))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.sleep", lambda _: api.run(api.broker.withdraw(type_, "d")))
        result = run("watch", type_, "d", *OFTEN)
    assert (result.exit_code, result.stdout.splitlines()[-1][9:]) == (1, "withdrawn")


def test_a_broker_that_is_away_is_waited_for(
    run: Run, api: Served, type_: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker that does not answer is told once; the watch goes on when it is back."""
    api.run(making.submit(api.broker, "d", type_))
    answers: list[Any] = [None, Unavailable("down"), httpx.ConnectError("gone"), None]
    read = Client.read

    def answer(*args: Any, **options: Any) -> Any:
        trouble = answers.pop(0)
        if trouble:
            raise trouble
        if not answers:
            api.run(api.broker.withdraw(type_, "d"))
        return read(*args, **options)

    monkeypatch.setattr(Client, "read", answer)
    monkeypatch.setattr("time.sleep", lambda _: None)
    result = run("watch", type_, "d", *OFTEN)
    assert result.stdout.count("\n") == 2
    assert result.stderr.count("waiting for the broker") == 1


def test_the_line_of_a_type(
    run: Run, api: Served, type_: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a job each change of the type's counts is a line, until Ctrl-C."""
    api.run(making.submit(api.broker, "d", type_))
    beats = iter([lambda: api.run(making.submit(api.broker, "e", type_)), _interrupt])
    monkeypatch.setattr("time.sleep", lambda _: next(beats)())
    result = run("watch", type_, *OFTEN)
    assert result.exit_code == 0
    lines = [line[9:].partition(",")[0] for line in result.stdout.splitlines()]
    assert lines == ["1 queued", "2 queued"]


def test_the_lines_of_all_types(
    run: Run, api: Served, type_: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a type each change of any type is a line, told by the stream of all events; a type
    that is deleted is told as gone."""
    other = f"{type_}-other"
    api.run(making.submit(api.broker, "d", type_))
    read, steps = Client.types, iter(range(9))

    def types(client: Client) -> dict[str, dict[str, int]]:
        found = {name: counts for name, counts in read(client).items() if name.startswith(type_)}
        match next(steps):
            case 0:
                api.run(_is_followed(api.broker, type_))
                api.run(making.submit(api.broker, "e", other))
            case 1:
                api.run(api.broker.withdraw(other, "e"))
                api.run(api.broker.drop_type(other))
            case 2:
                api.run(making.submit(api.broker, "f", type_))
            case 3:
                raise KeyboardInterrupt
        return found

    monkeypatch.setattr(Client, "types", types)
    monkeypatch.setattr("rq_broker.cli.verbs.watch._GATHER_SECONDS", 0.0)
    monkeypatch.setattr("rq_broker.cli.verbs.watch._ROUND_SECONDS", 60.0)
    result = run("watch", "--json", *OFTEN)
    assert result.exit_code == 0, result.output
    told = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(each["type"], each.get("queued")) for each in told[:2]] == [(type_, 1), (other, 1)]
    assert told[2:] == [{"type": other, "gone": True}]


async def _is_followed(broker: Broker, type_: str) -> None:
    async def is_so() -> bool:
        feed = broker.events._feeds.get(type_)
        return feed is not None and bool(feed._followers())

    await until(is_so, "a stream of all events")


def _interrupt() -> None:
    assert threading.current_thread() is threading.main_thread()
    raise KeyboardInterrupt
