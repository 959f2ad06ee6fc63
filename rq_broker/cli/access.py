"""Access control from settings: which credentials the API takes."""

from __future__ import annotations

from rq_broker.cli.credentials import providers_of
from rq_broker.identity import Authenticator
from rq_broker.identity.tokens import TokenAuthenticator
from rq_broker.settings import Settings
from rq_broker.store.broker import Broker


def authenticators_of(settings: Settings, broker: Broker) -> list[Authenticator]:
    """Return what proves who asks, a kind of credential each; empty without access control."""
    tokens = [TokenAuthenticator(broker.token)] if settings.tokens else []
    return [*tokens, *providers_of(settings)]
