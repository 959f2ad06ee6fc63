"""`rq-broker encrypt-keys`: encrypts the signing keys that Redis has, with the first secret key."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import click

from rq_broker.cli.acting import act_as_user
from rq_broker.cli.secret_files import cipher_of
from rq_broker.domain.errors import Invalid
from rq_broker.settings import Settings
from rq_broker.store.broker import Broker
from rq_broker.store.connection import connect


def run(settings: Settings) -> None:
    """Encrypt what is not encrypted, or with an older key, and print how many owners had that."""
    if settings.secret_key_file is None:
        raise Invalid("--secret-key-file is required")
    count = asyncio.run(_encrypt(settings))
    click.echo(f"encrypted the signing keys of {count} owner{'s' * (count != 1)}")


async def _encrypt(settings: Settings) -> int:
    act_as_user()
    async with aclosing(connect(settings.redis)) as client:
        broker = Broker(client, cipher=cipher_of(settings))
        async with aclosing(broker):
            types = settings.types or await broker.names()
            return sum([await broker.encrypt_keys(type_) for type_ in types])
