"""The endpoints of the frameworks, called with what the broker sends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flask
import pytest

from rq_broker.delivery.signing import generate
from rq_broker.receiver import Event, Granted, InMemory, NotWanted, flask as for_flask
from rq_broker.receiver.functions import Handler
from rq_broker.receiver.verifying import MOST_BYTES
from tests.receiver.frameworks import FRAMEWORKS, Post, with_django, with_flask, with_starlette
from tests.receiver.signed import KEY, body, headers

BODY = body()

Serve = Callable[..., Post]


@pytest.fixture(params=FRAMEWORKS)
def serve(request: pytest.FixtureRequest) -> Serve:
    served: Serve = FRAMEWORKS[request.param]
    return served


class Log:
    """Takes events; the first ones with the errors that it is told to raise."""

    def __init__(self, *errors: Exception) -> None:
        self.events: list[Event] = []
        self._errors = list(errors)

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        if self._errors:
            raise self._errors.pop(0)


def test_an_event_is_taken_once(serve: Serve) -> None:
    """A grant is handed over typed and answered 204; its repeats are only answered."""
    log = Log()
    post = serve(log)
    for _ in range(3):
        assert post(headers(BODY), BODY).status_code == 204
    assert [type(event) for event in log.events] == [Granted]
    assert post(headers(BODY, "vm_3_8"), BODY).status_code == 204
    assert [event.id for event in log.events] == ["vm_3_7", "vm_3_8"]


def test_what_is_not_wanted_stays_so(serve: Serve) -> None:
    """NotWanted is a 410, which gives the capacity up, for the repeats as well."""
    log = Log(NotWanted("the user went home"))
    post = serve(log)
    first, second = (post(headers(BODY), BODY) for _ in range(2))
    assert (first.status_code, first.text) == (410, "the user went home")
    assert second.status_code == 410
    assert len(log.events) == 1


def test_after_an_error_the_event_comes_again(serve: Serve) -> None:
    """Where the function fails the broker sees a 500, and its next attempt is no repeat."""
    log = Log(RuntimeError("no disk"))
    post = serve(log)
    assert post(headers(BODY), BODY).status_code == 500
    assert post(headers(BODY), BODY).status_code == 204
    assert len(log.events) == 2


def test_forgeries_and_rubbish_reach_nobody(serve: Serve) -> None:
    """What is not signed, old, too large or no event is a 4xx, and is remembered as nothing."""
    log = Log()
    post = serve(log)
    assert post({}, BODY).status_code == 401
    assert post(headers(BODY, keys=(generate(),)), BODY).status_code == 401
    assert post(headers(BODY, age=3600), BODY).status_code == 401
    assert post(headers(b"{}"), b"{}").status_code == 400
    assert post({}, b"x" * (MOST_BYTES + 1)).status_code == 413
    assert not log.events
    assert post(headers(BODY), BODY).status_code == 204


def test_processes_may_remember_together(serve: Serve) -> None:
    """With a store of their own, a repeat to another process is one too."""
    log, shared = Log(), InMemory()
    for _ in range(2):
        assert serve(log, repeats=shared)(headers(BODY), BODY).status_code == 204
    assert len(log.events) == 1


def test_a_repeat_of_what_is_under_way_is_told_to_wait(serve: Serve) -> None:
    """While the function works a repeat is a 425, after which the broker tries again."""
    shared = InMemory()
    shared.begin("vm_3_7")
    log = Log()
    post = serve(log, repeats=shared)
    assert post(headers(BODY), BODY).status_code == 425
    shared.end("vm_3_7", None)
    assert post(headers(BODY), BODY).status_code == 204


def test_starlette_awaits_a_coroutine_function() -> None:
    """A coroutine function takes events too, and may raise NotWanted."""
    taken: list[str] = []

    async def handler(event: Event) -> None:
        taken.append(event.id)
        if event.id == "no":
            raise NotWanted

    post = with_starlette(handler)
    assert [post(headers(BODY, name), BODY).status_code for name in ("yes", "no")] == [204, 410]
    assert taken == ["yes", "no"]


def test_an_application_has_several_receivers() -> None:
    """Flask tells endpoints apart by name: each has that of its function."""
    app = flask.Flask("receiver")
    handlers: tuple[Handler, ...] = (print, Log())
    for number, handler in enumerate(handlers):
        view = for_flask.receive(handler, KEY.text)
        app.add_url_rule(f"/{number}", view_func=view, methods=["POST"])
    assert {"print", "Log"} <= app.view_functions.keys()


@pytest.mark.parametrize("serve", [with_flask, with_django])
def test_a_coroutine_function_is_refused_where_nothing_awaits_it(serve: Serve) -> None:
    """Flask and Django get a TypeError when the endpoint is made, not a grant that nobody takes."""

    async def handler(event: Event) -> None: ...

    with pytest.raises(TypeError, match="coroutine"):
        serve(handler)


def test_a_key_that_is_none_is_refused_when_the_endpoint_is_made() -> None:
    """A wrong key fails at the start of the application, not at the first grant."""
    module: Any
    for name in FRAMEWORKS:
        module = __import__(f"rq_broker.receiver.{name}", fromlist=["receive"])
        with pytest.raises(ValueError, match="key"):
            module.receive(print, "")
