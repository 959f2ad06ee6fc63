"""Signing keys over HTTP: they are set, and only their fingerprints are shown."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from rq_broker.delivery.signing import generate
from rq_broker.store.broker import Broker
from rq_broker.store.keys import Keys
from tests.api.conftest import refused

URL = "/types/vm/keys"
NEW, OLD = generate().text, generate().text


def fingerprint(key: str) -> str:
    return sha256(key.encode()).hexdigest()[:8]


async def test_rotating_keys(api: httpx.AsyncClient, broker: Broker) -> None:
    """Keys keep their order, are shown only as fingerprints, and are removed by an empty list."""
    assert (await api.get(URL)).json() == {"data": {}, "ok": True}
    await api.put(URL, json={"owner": "*", "keys": [OLD]})
    answer = await api.put(f"{URL}/", json={"owner": "lab-7", "keys": [NEW, OLD]})
    fingerprints = {"*": [fingerprint(OLD)], "lab-7": [fingerprint(NEW), fingerprint(OLD)]}
    assert answer.json() == (await api.get(URL)).json() == {"data": fingerprints, "ok": True}
    assert await broker.keys("vm") == {"*": (OLD,), "lab-7": (NEW, OLD)}
    await api.put(URL, json={"owner": "*", "keys": []})
    assert await broker.keys("vm") == {"lab-7": (NEW, OLD)}
    assert (await api.get("/types/kube/keys")).json()["data"] == {}


async def test_a_key_has_one_spelling(api: httpx.AsyncClient, broker: Broker) -> None:
    """A key without base64 padding is the same key and has the same fingerprint."""
    answer = await api.put(URL, json={"owner": "*", "keys": [NEW.rstrip("=")]})
    assert answer.json()["data"] == {"*": [fingerprint(NEW)]}
    assert await broker.keys("vm") == {"*": (NEW,)}


SECRET = NEW.removeprefix("whsec_")


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (NEW, "the body must be a JSON object"),
        ([NEW], "the body must be a JSON object"),
        ({NEW: 1}, "the body must have no field besides owner and keys"),
        ({"owner": "*"}, "keys is required"),
        ({"owner": "*", "keys": NEW}, "keys must be a list of at most 4 keys"),
        ({"owner": "*", "keys": None}, "keys is required"),
        ({"owner": [NEW], "keys": []}, "owner must be a string"),
        ({"owner": "*", "keys": [], NEW: 1}, "no field besides owner and keys"),
        ({"owner": "", "keys": [NEW]}, "owner must not be empty"),
        ({"owner": f"{NEW}\n", "keys": []}, "owner must not contain control characters"),
        ({"owner": "*", "keys": [NEW, SECRET]}, "keys[1] must start with whsec_"),
        ({"owner": "*", "keys": [f"{NEW}?"]}, "keys[0] must be base64 after whsec_"),
        ({"owner": "*", "keys": [f"{NEW} {OLD}"]}, "keys[0] must be base64 after whsec_"),
        (
            {"owner": "*", "keys": [f"whsec_{SECRET[:20]}"]},
            "keys[0] must hold 24 to 64 bytes, not ",
        ),
        ({"owner": "*", "keys": [[NEW]]}, "keys[0] must be a string"),
        ({"owner": "*", "keys": [NEW] * 5}, "keys must be a list of at most 4 keys, not of 5"),
    ],
    ids=lambda value: "" if isinstance(value, str) else type(value).__name__,
)
async def test_no_refusal_repeats_a_secret(
    api: httpx.AsyncClient, broker: Broker, body: Any, sentence: str
) -> None:
    """The refusal names the field, repeats no part of a key, and changes nothing."""
    answer = await api.put(URL, json=body)
    refused(answer, 400, "invalid_request", sentence)
    assert SECRET[:8] not in answer.text
    assert await broker.keys("vm") == {}


async def test_keys_another_service_set(api: httpx.AsyncClient, client: Redis) -> None:
    """A malformed key, set directly in Redis, is listed by its fingerprint too."""
    await client.hset(Keys("vm").of("keys"), "o", "nonsense")
    assert (await api.get(URL)).json()["data"] == {"o": [fingerprint("nonsense")]}
