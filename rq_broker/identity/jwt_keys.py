"""The public keys of an issuer of JWTs, as a JWK Set (RFC 7517) from a URL or a file."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
import orjson
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from rq_broker.domain.errors import Invalid, JwtKeysUnavailable

FRESH_URL, FRESH_FILE = 300.0, 10.0
"""Seconds after which the keys are read anew. That is how long a key is accepted after its issuer
has withdrawn it."""
RETRY = 10.0
"""Least seconds between two readings, whatever `kid` comes. Without it a flood of JWTs with made-up
ids would be a flood of requests to the issuer."""
MOST_AGE = 3600.0
"""Seconds for which keys that cannot be read anew still serve: an issuer may be away so long."""
TIMEOUT = 5.0
"""Seconds that a reading may take."""
_MOST_BYTES = 256 * 1024
"""Most of a JWK Set that is read; a large issuer's has 20 KB."""
_LEAST_RSA_BYTES = 256
"""Shortest RSA modulus, 2,048 bits: shorter keys can be factored (RFC 7518, 3.3)."""

ALGORITHMS = {
    "RS256": ("RSA", None),
    "ES256": ("EC", "P-256"),
    "EdDSA": ("OKP", "Ed25519"),
    "Ed25519": ("OKP", "Ed25519"),
}
"""Accepted algorithm → type and curve of its key. `Ed25519` is EdDSA's new name (RFC 9864)."""
_MEMBERS = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}
"""Type of a key → its public members; no other one is read."""
_CLASSES: dict[str, type[RSAKey] | type[ECKey] | type[OKPKey]] = {
    "RSA": RSAKey,
    "EC": ECKey,
    "OKP": OKPKey,
}

_log = logging.getLogger(__name__)


class PublicKey(NamedTuple):
    """A key of the issuer."""

    kid: str | None
    algorithms: frozenset[str]
    """Those for which it may be used."""
    key: Key


class IssuerKeys:
    """The keys of one issuer, read again as they age.

    Args:
        place: An `https` URL, an `http` one on loopback, or the path of a file.
        clock: Returns seconds that only grow.

    Raises:
        Invalid: The URL is another one, or the file cannot be read or has no key that can be used.
    """

    def __init__(self, place: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._place = place
        self._clock = clock
        self._is_url = "://" in place
        self._keys: Sequence[PublicKey] = ()
        self._read_at = self._tried_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None
        if self._is_url:
            check_url(place)
        else:
            try:
                self._keep(read_keys(_read_file(place)))
            except (OSError, ValueError) as error:
                raise Invalid(f"--jwt-keys {place}: {error}") from None

    async def current(self) -> Sequence[PublicKey]:
        """Return the keys; those of before while they are read anew.

        Raises:
            JwtKeysUnavailable: They were never read, or longer than MOST_AGE ago.
        """
        age = self._clock() - self._read_at
        if age >= (FRESH_URL if self._is_url else FRESH_FILE):
            reading = self._read()
            if age >= MOST_AGE:
                if reading:
                    await asyncio.shield(reading)
                if self._clock() - self._read_at >= MOST_AGE:
                    raise JwtKeysUnavailable("the keys of JWTs cannot be read; repeat the call")
        return self._keys

    async def renewed(self) -> Sequence[PublicKey]:
        """Return the keys after a reading, unless one was tried just now."""
        reading = self._read()
        if reading:
            await asyncio.shield(reading)
        return self._keys

    def _read(self) -> asyncio.Task[None] | None:
        """Return the reading that runs, a new one if it is time for one, or None."""
        if self._reading is None and self._clock() - self._tried_at >= RETRY:
            self._tried_at = self._clock()
            self._reading = asyncio.create_task(self._read_once())
        return self._reading

    async def _read_once(self) -> None:
        try:
            async with asyncio.timeout(TIMEOUT):
                text = await (
                    fetch(self._place)
                    if self._is_url
                    else asyncio.to_thread(_read_file, self._place)
                )
            self._keep(read_keys(text))
        except (OSError, ValueError, httpx.HTTPError) as error:  # TimeoutError is an OSError
            _log.warning(
                "the keys of JWTs cannot be read from %s: %s",
                self._place,
                error or type(error).__name__,
            )
        finally:
            self._reading = None

    def _keep(self, keys: Sequence[PublicKey]) -> None:
        self._keys = keys
        self._read_at = self._tried_at = self._clock()


def read_keys(text: bytes) -> tuple[PublicKey, ...]:
    """Return the keys of a JWK Set that can verify; others, such as symmetric ones, are left out.

    Raises:
        ValueError: It is no JWK Set, or has no key that can be used.
    """
    document = orjson.loads(text)
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ValueError("it is no JWK Set, an object with a list of keys")
    keys = tuple(key for entry in entries if (key := _usable(entry)))
    if not keys:
        raise ValueError(f"it has no key for {', '.join(ALGORITHMS)}")
    return keys


def _usable(entry: Any) -> PublicKey | None:
    """Return the key of an entry; None if it is not one that verifies by an accepted algorithm."""
    try:
        if entry.get("use", "sig") != "sig" or "verify" not in entry.get("key_ops", ["verify"]):
            return None
        type_, kid = entry["kty"], entry.get("kid")
        algorithms = _algorithms(type_, entry.get("crv"), entry.get("alg"))
        if not algorithms or not isinstance(kid, str | None):
            return None
        members = {name: entry[name] for name in _MEMBERS[type_]}
        if type_ == "RSA" and len(members["n"]) * 3 // 4 < _LEAST_RSA_BYTES:
            return None
        key = _CLASSES[type_].import_key({"kty": type_, **members})
        key.get_op_key("verify")
    except Exception:  # an entry may be anything, and each fails in a way of its own
        return None
    return PublicKey(kid, algorithms, key)


def _algorithms(type_: str, curve: str | None, named: str | None) -> frozenset[str]:
    """Return for which algorithms a key may be used that names one, or none."""
    form = (type_, None if type_ == "RSA" else curve)
    fitting = frozenset(name for name, needed in ALGORITHMS.items() if needed == form)
    if named is None or (named == "EdDSA" and named in fitting):
        return fitting
    return fitting & {named}


def check_url(url: str, name: str = "--jwt-keys") -> None:
    """Raise Invalid unless nobody on the way could answer at a URL; `name` says what it is."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if not host or parts.scheme not in ("https", "http"):
        raise Invalid(f"{name} {url} is neither an https URL nor a file")
    if parts.scheme == "http" and not _is_loopback(host):
        raise Invalid(f"{name} {url} must be https: whoever is on the way could replace a key")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _read_file(path: str) -> bytes:
    with Path(path).open("rb") as file:
        return file.read(_MOST_BYTES)


async def fetch(url: str) -> bytes:
    """Return what an issuer publishes at a URL. Raises ValueError, httpx.HTTPError."""
    async with (
        httpx.AsyncClient(timeout=TIMEOUT) as client,
        client.stream("GET", url, headers={"Accept-Encoding": "identity"}) as answer,
    ):
        if answer.status_code != httpx.codes.OK:
            raise ValueError(f"HTTP {answer.status_code}")
        body = b""
        async for chunk in answer.aiter_bytes():
            body += chunk
            if len(body) > _MOST_BYTES:
                raise ValueError(f"it is larger than {_MOST_BYTES // 1024} KiB")
        return body
