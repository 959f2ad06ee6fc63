"""Serves a function by real Starlette, Flask and Django, in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import django
import flask
import httpx
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.urls import path
from starlette.applications import Starlette
from starlette.routing import Route

from rq_broker.receiver import django as for_django, flask as for_flask, starlette as for_starlette
from rq_broker.receiver.functions import Handler
from tests.receiver.signed import KEY

urlpatterns: list[Any] = []
"""Django reads this module as the list of its URLs."""

Post = Callable[[Mapping[str, str], bytes], httpx.Response]


def _client(app: Any) -> httpx.Client:
    # An error of the function is the framework's 500, as a server would send it.
    return httpx.Client(transport=httpx.WSGITransport(app, raise_app_exceptions=False),
                        base_url="http://receiver")  # fmt: skip


def with_flask(handler: Handler, **options: Any) -> Post:
    app = flask.Flask("receiver")
    view = for_flask.receive(handler, KEY.text, **options)
    app.add_url_rule("/granted", view_func=view, methods=["POST"])
    client = _client(app.wsgi_app)
    return lambda headers, body: client.post("/granted", headers=dict(headers), content=body)


def with_django(handler: Handler, **options: Any) -> Post:
    return django_urls([path("granted", for_django.receive(handler, KEY.text, **options))])


def django_urls(patterns: list[Any]) -> Post:
    """Serve these URLs."""
    if not settings.configured:
        settings.configure(
            ROOT_URLCONF=__name__, ALLOWED_HOSTS=["receiver"], SECRET_KEY="s",
            MIDDLEWARE=["django.middleware.csrf.CsrfViewMiddleware"], LOGGING_CONFIG=None,
        )  # fmt: skip
        django.setup()
    urlpatterns[:] = patterns
    django.urls.clear_url_caches()
    client = _client(WSGIHandler())
    return lambda headers, body: client.post("/granted", headers=dict(headers), content=body)


def with_starlette(handler: Handler, **options: Any) -> Post:
    endpoint = for_starlette.receive(handler, KEY.text, **options)
    app = Starlette(routes=[Route("/granted", endpoint, methods=["POST"])])

    async def post(headers: Mapping[str, str], body: bytes) -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://receiver") as client:
            return await client.post("/granted", headers=dict(headers), content=body)

    return lambda headers, body: asyncio.run(post(headers, body))


FRAMEWORKS = {"starlette": with_starlette, "flask": with_flask, "django": with_django}
