"""Encrypts signing keys for Redis, whose other readers must not be able to sign callbacks.

What is stored is `fernet:` and a token of Fernet (AES-128-CBC with HMAC-SHA256) for each key. While
one secret key replaces another both are known: the first encrypts, each of them decrypts. Who may
write to Redis can still replace signing keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from rq_broker.domain.errors import Invalid, SigningKeysEncrypted

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

_MARK = "fernet:"


class KeyCipher:
    """Encrypts and decrypts signing keys. Without secret keys it leaves them as they are.

    Args:
        secret_keys: 32 bytes each in base64; the first encrypts.

    Raises:
        Invalid: One is no such key; the sentence has its number only.
    """

    def __init__(self, secret_keys: Iterable[str] = ()) -> None:
        self._ciphers = [_cipher(key, number) for number, key in enumerate(secret_keys, 1)]
        self.decrypt = lru_cache(1024)(self._decrypt)
        """Decrypt signing keys; those that are not encrypted stay. Raises SigningKeysEncrypted."""

    def encrypt(self, keys: Sequence[str]) -> tuple[str, ...]:
        """Return keys as they are stored."""
        if not self._ciphers:
            return tuple(keys)
        first = self._ciphers[0]
        return tuple(_MARK + first.encrypt(_bytes(key)).decode() for key in keys)

    def is_current(self, stored: Sequence[str]) -> bool:
        """Tell whether all keys are stored as `encrypt` does it."""
        return not self._ciphers or all(
            key.startswith(_MARK) and _first_read(self._ciphers[:1], key) is not None
            for key in stored
        )

    @property
    def encrypts(self) -> bool:
        """Whether there is a secret key."""
        return bool(self._ciphers)

    def _decrypt(self, stored: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(self._decrypted(key) for key in stored)

    def _decrypted(self, stored: str) -> str:
        if not stored.startswith(_MARK):
            return stored
        key = _first_read(self._ciphers, stored)
        if key is not None:
            return key
        if self._ciphers:
            raise SigningKeysEncrypted(
                "signing keys are encrypted with none of the keys in --secret-key-file"
            )
        raise SigningKeysEncrypted(
            "signing keys are encrypted, and this process has no --secret-key-file"
        )


def _first_read(ciphers: Iterable[Fernet], stored: str) -> str | None:
    """Return an encrypted key as the first cipher reads it that can; None if none of them can."""
    from cryptography.fernet import InvalidToken  # noqa: PLC0415 - an extra

    for cipher in ciphers:
        try:
            text = cipher.decrypt(_bytes(stored.removeprefix(_MARK)))
        except InvalidToken:
            continue
        return text.decode(errors="surrogateescape")
    return None


def _cipher(key: str, number: int) -> Fernet:
    try:
        from cryptography.fernet import Fernet  # noqa: PLC0415 - an extra
    except ImportError as error:
        message = f"--secret-key-file: {error}; pip install 'rq-broker[encryption]'"
        raise Invalid(message) from error
    try:
        return Fernet(key.translate(str.maketrans("+/", "-_")))
    except ValueError:
        raise Invalid(f"--secret-key-file: key {number} is not 32 bytes in base64") from None


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")
