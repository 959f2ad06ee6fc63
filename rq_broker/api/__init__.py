"""The HTTP facade: translates, and holds no rules of its own."""

from rq_broker.api.app import create_app

__all__ = ["create_app"]
