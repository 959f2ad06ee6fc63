"""Access control from settings: which credentials the API takes."""

from __future__ import annotations

from rq_broker.identity import Authenticator
from rq_broker.identity.tokens import TokenAuthenticator
from rq_broker.settings import Settings
from rq_broker.store.broker import Broker


def authenticators_of(settings: Settings, broker: Broker) -> list[Authenticator]:
    """Return what proves who asks, a kind of credential each; empty without access control."""
    return [TokenAuthenticator(broker.token)] if settings.tokens else []
