"""The functions that take events: whether one is awaited, and an endpoint's name after it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TypeVar

from rq_broker.receiver.events import Event

Handler = Callable[[Event], object]
_Endpoint = TypeVar("_Endpoint", bound=Callable[..., object])


def is_async(handler: Handler) -> bool:
    """Return whether a call returns a coroutine, also of an object with `async def __call__`."""
    call = type(handler).__call__
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(call)


def require_plain(handler: Handler, framework: str) -> None:
    """Raise TypeError for a coroutine function, which nothing would run."""
    if is_async(handler):
        raise TypeError(f"{handler!r} is a coroutine function: {framework} needs an ordinary one")


def named_like(endpoint: _Endpoint, handler: Handler) -> _Endpoint:
    """Name an endpoint after its function: frameworks tell endpoints apart by names."""
    endpoint.__name__ = getattr(handler, "__name__", type(handler).__name__)
    return endpoint
