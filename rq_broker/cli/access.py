"""Access control from settings: which credentials the API takes, and whom that leaves out."""

from __future__ import annotations

import logging
import time
from contextlib import aclosing

from rq_broker.cli.credentials import providers_of
from rq_broker.domain.errors import BrokerError
from rq_broker.identity import Authenticator
from rq_broker.identity.tokens import TokenAuthenticator
from rq_broker.settings import Settings
from rq_broker.store.broker import Broker
from rq_broker.store.connection import connect

_log = logging.getLogger(__name__)


def authenticators_of(settings: Settings, broker: Broker) -> list[Authenticator]:
    """Return what proves who asks, a kind of credential each; empty without access control."""
    tokens = [TokenAuthenticator(broker.token)] if settings.tokens else []
    return [*tokens, *providers_of(settings)]


def warn_of_open_api(settings: Settings) -> None:
    """Log that other machines may do everything, if that is so."""
    if settings.is_open:
        _log.warning(
            "the API has no access control: everybody who reaches %s may do everything",
            settings.host,
        )


async def warn_of_no_token(settings: Settings) -> None:
    """Log how to make the first token, if tokens alone are accepted and none is valid."""
    if not settings.tokens or settings.keystone_cloud or settings.jwt_issuer:
        return
    try:
        async with aclosing(connect(settings.redis)) as client, aclosing(Broker(client)) as broker:
            tokens = await broker.tokens()
    except BrokerError:  # the API starts without Redis, too
        return
    now = time.time()
    if not any(token.state(now) == "valid" for token in tokens):
        _log.warning(
            "no token is valid, so the API refuses everybody: make one, on the same Redis, with"
            " `rq-broker token create --role admin --name NAME`"
        )
