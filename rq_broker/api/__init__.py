"""The HTTP API: translates between HTTP and the broker's methods, and holds no rules."""

from rq_broker.api.app import create_app

__all__ = ["create_app"]
