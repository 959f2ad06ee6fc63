"""The Python client of the HTTP API, sync and async."""

from rq_broker.client.client import AsyncClient, Client

__all__ = ["AsyncClient", "Client"]
