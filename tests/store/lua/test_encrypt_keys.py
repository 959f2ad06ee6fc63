"""encrypt_keys.lua: signing keys in another form, unless they were set meanwhile."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest
from redis.asyncio import Redis

from rq_broker.domain.errors import Invalid, SigningKeysEncrypted
from rq_broker.store.broker import Broker
from rq_broker.store.encryption import KeyCipher
from rq_broker.store.keys import Keys
from tests.making import TYPE

KEYS = Keys(TYPE)
OLD, NEW = (b64encode(bytes([number]) * 32).decode() for number in (251, 2))
"""Secret keys; standard base64, with its + and /."""


async def stored(client: Redis) -> dict[str, str]:
    return {
        str(owner): str(text) for owner, text in (await client.hgetall(KEYS.of("keys"))).items()
    }


async def test_keys_of_before_are_encrypted_once(client: Redis) -> None:
    """Plain keys stay readable, are encrypted by the command, and a second run changes nothing."""
    await Broker(client).set_keys(TYPE, "*", ["new", "old"])
    broker = Broker(client, cipher=KeyCipher([OLD]))
    assert await broker.keys(TYPE) == {"*": ("new", "old")}
    await broker.set_keys(TYPE, "lab", ["own"])
    assert await broker.encrypt_keys(TYPE) == 1
    before = await stored(client)
    assert all(key.startswith("fernet:") for text in before.values() for key in text.split())
    assert await broker.keys(TYPE) == {"*": ("new", "old"), "lab": ("own",)}
    assert await broker.encrypt_keys(TYPE) == 0
    assert await stored(client) == before


async def test_secret_keys_rotate(client: Redis) -> None:
    """The first key encrypts and all decrypt; after the command the old one is not needed."""
    await Broker(client, cipher=KeyCipher([OLD])).set_keys(TYPE, "*", ["k"])
    both = Broker(client, cipher=KeyCipher([NEW, OLD]))
    assert await both.keys(TYPE) == {"*": ("k",)}
    assert await both.encrypt_keys(TYPE) == 1
    assert await Broker(client, cipher=KeyCipher([NEW])).keys(TYPE) == {"*": ("k",)}


async def test_keys_that_were_set_meanwhile_stay(
    client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the reading and the writing of the command another service sets a key: it stays."""
    broker = Broker(client, cipher=KeyCipher([OLD]))
    await Broker(client).set_keys(TYPE, "*", ["first"])
    run, later = broker.runner.run, ["second"]

    async def run_late(*args: Any, **named: Any) -> Any:
        if later:
            await client.hset(KEYS.of("keys"), "*", later.pop())
        return await run(*args, **named)

    monkeypatch.setattr(broker.runner, "run", run_late)
    assert await broker.encrypt_keys(TYPE) == 1
    assert await broker.keys(TYPE) == {"*": ("second",)}


async def test_without_the_secret_key_nothing_is_read_or_written(client: Redis) -> None:
    """A process without it, or with another, is refused with a sentence that says which."""
    await Broker(client, cipher=KeyCipher([OLD])).set_keys(TYPE, "*", ["k"])
    before = await stored(client)
    for cipher, sentence in (
        (KeyCipher(), "no --secret-key-file"),
        (KeyCipher([NEW]), "none of the keys in --secret-key-file"),
    ):
        broker = Broker(client, cipher=cipher)
        with pytest.raises(SigningKeysEncrypted, match=sentence):
            await broker.keys(TYPE)
    with pytest.raises(SigningKeysEncrypted, match="no --secret-key-file"):
        await Broker(client).set_keys(TYPE, "lab", ["plain"])
    with pytest.raises(SigningKeysEncrypted, match="none of the keys"):
        await Broker(client, cipher=KeyCipher([NEW])).encrypt_keys(TYPE)
    assert await stored(client) == before


@pytest.mark.parametrize("key", ["", "short", "A" * 44, "ä" * 44])
def test_a_wrong_secret_key_is_told_by_its_number(key: str) -> None:
    """The sentence does not repeat it."""
    with pytest.raises(Invalid, match="key 2 is not 32 bytes in base64") as refused:
        KeyCipher([OLD, key])
    assert not key or key not in str(refused.value)
