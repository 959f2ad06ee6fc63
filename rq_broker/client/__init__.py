"""The Python client of the HTTP API, sync and async."""

from rq_broker.client.async_client import AsyncClient
from rq_broker.client.client import Client
from rq_broker.client.events import Event
from rq_broker.client.grants import Grant, HoldError, HoldLost, HoldTimeout, NotGranted

__all__ = [
    "AsyncClient",
    "Client",
    "Event",
    "Grant",
    "HoldError",
    "HoldLost",
    "HoldTimeout",
    "NotGranted",
]
