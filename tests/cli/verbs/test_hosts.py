"""The commands on hosts: what they publish, and what draining waits for."""

from __future__ import annotations

import json
import shlex
import threading

import click
import pytest

from rq_broker.cli.verbs import hosts as verbs
from rq_broker.cli.verbs.hosts import _publishing
from rq_broker.domain.jobs import Status
from tests import making
from tests.cli.served import Served
from tests.cli.verbs.conftest import Run


def test_a_host_with_all_that_can_be_said(run: Run, type_: str) -> None:
    """Capacity, what others use, aggregates and traits can be said by options."""
    words = ("--used", "VCPU=8", "--aggregate", "a", "--aggregate", "b", "--trait", "SSD")
    shown = json.loads(
        run("host", "set", type_, "h", "VCPU=64,Memory=1024", *words, "--json").stdout
    )
    assert (shown["capacity"], shown["free"]["VCPU"]) == ({"VCPU": 64, "Memory": 1024}, 56)
    assert (shown["aggregates"], shown["traits"]) == (["a", "b"], ["SSD"])
    assert run("host", "set", type_, "licences", "matlab=5", "--anywhere").exit_code == 0
    listed = run("hosts", type_, "--aggregate", "a").stdout
    assert "VCPU 56, 1 GB" in listed
    assert "licences" not in listed


def test_draining_waits_for_the_last_job(
    run: Run, api: Served, type_: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`host drain` ends once nothing of the host is held, and tells meanwhile what is."""
    api.run(making.bring(api.broker, Status.RUNNING, type_=type_))
    monkeypatch.setattr(verbs, "POLL_SECONDS", 0.01)
    looked = threading.Event()
    monkeypatch.setattr(
        click, "echo", lambda text, **_: looked.set() if "waiting" in text else None
    )
    results = []
    drain = threading.Thread(target=lambda: results.append(run("host", "drain", type_, "h1")))
    drain.start()
    assert looked.wait(30)
    assert api.run(api.broker.host(type_, "h1")).dropped
    assert drain.is_alive()
    api.run(api.broker.transition(type_, "d", Status.DONE))
    drain.join(30)
    assert results[0].exit_code == 0
    assert run("host", "show", type_, "h1").exit_code == 4


def test_a_host_that_somebody_puts_back(
    run: Run, api: Served, type_: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Draining ends with a refusal if the host is in service again, as a source makes it."""
    api.run(making.bring(api.broker, Status.RUNNING, type_=type_))
    monkeypatch.setattr(verbs, "POLL_SECONDS", 0.01)

    def put_back(text: str, **_: object) -> None:
        if "waiting" in text:
            api.run(making.publish(api.broker, type_=type_))

    monkeypatch.setattr(click, "echo", put_back)
    result = run("host", "drain", type_, "h1")
    assert (result.exit_code, "in service again" in result.stderr) == (1, True)


def test_a_drained_host_can_be_put_back(run: Run, api: Served, type_: str) -> None:
    """The command that draining prints publishes the host with all that it had."""
    words = ("GPU=1000+500,VCPU=8", "--used", "GPU=0+500,VCPU=1", "--aggregate", "a b",
             "--trait", "SSD", "--max-unit", "VCPU=4", "--min-unit", "VCPU=2",
             "--step-size", "VCPU=2")  # fmt: skip
    assert run("host", "set", type_, "h1", *words).exit_code == 0
    before = api.run(api.broker.host(type_, "h1"))
    drained = run("host", "drain", type_, "h1", "--no-wait", "--json")
    assert json.loads(drained.stdout)["drained"] is False
    command = drained.stderr.removeprefix("to put it back: rq-broker ")
    assert run(*shlex.split(command)).exit_code == 0
    assert api.run(api.broker.host(type_, "h1")) == before


def test_the_host_of_a_source_puts_itself_back() -> None:
    """Of a host that a source reports it is said that the source puts it back."""
    assert "its source nova does" in _publishing(
        "vm", {"name": "h", "capacity": {}, "source": "nova"}
    )
