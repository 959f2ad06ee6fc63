"""Tokens: their form, and what the authenticator makes of them."""

from __future__ import annotations

import re
import string

import pytest
from hypothesis import given, settings, strategies as st
from redis.asyncio import Redis

from rq_broker.domain import errors
from rq_broker.domain.identity import Identity, Role
from rq_broker.domain.tokens import NewToken, Rotation, Token, new_token
from rq_broker.identity import answer_cache, tokens
from rq_broker.identity.tokens import TokenAuthenticator, is_well_formed, new_secret
from rq_broker.store.broker import Broker
from tests.redis_reads import key_names

LAB = NewToken(Role.CLIENT, "ci", ["lab", "lab-2"], ["vm"], ["hooks.lab"])
LETTERS = string.ascii_letters + string.digits + "-_"


def headers(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


@pytest.fixture
def authenticator(broker: Broker) -> TokenAuthenticator:
    return TokenAuthenticator(broker.token)


@pytest.fixture
def uncached(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the authenticator ask the store each time."""
    monkeypatch.setattr(tokens, "CACHED_SECONDS", -1.0)


def test_a_new_token_is_well_formed_and_no_other_is_like_it() -> None:
    """A token is `rqb_` and 48 letters that a URL and a shell take as they are."""
    made = {new_secret() for _ in range(100)}
    assert len(made) == 100
    assert all(re.fullmatch(r"rqb_[A-Za-z0-9_-]{48}", secret) for secret in made)
    assert all(map(is_well_formed, made))


@settings(deadline=None)
@given(st.integers(4, 51), st.sampled_from(LETTERS), st.integers(0, 51))
def test_every_typo_is_found(place: int, letter: str, other: int) -> None:
    """A token with one letter replaced, left out, doubled or swapped is malformed."""
    secret = new_secret()
    replaced = secret[:place] + letter + secret[place + 1 :]
    swapped = list(secret)
    swapped[place], swapped[other] = swapped[other], swapped[place]
    typos = {replaced, secret[:place] + secret[place + 1 :], "".join(swapped)}
    typos |= {secret[:place] + secret[place] + secret[place:], secret.swapcase(), f"{secret}\n"}
    assert [typo for typo in typos - {secret} if is_well_formed(typo)] == []


@settings(deadline=None)
@given(st.text())
def test_no_other_text_is_a_token(text: str) -> None:
    """Any text is refused without an error, also behind the mark of tokens."""
    assert not is_well_formed(text)
    assert not is_well_formed(f"rqb_{text}")


async def test_a_token_proves_what_it_was_made_for(
    broker: Broker, authenticator: TokenAuthenticator
) -> None:
    """Role, owners, types and callback hosts of the identity are those of the new token."""
    issued = await tokens.create(broker, LAB)
    assert await authenticator.identify(headers(issued.secret)) == Identity(
        "token:ci",
        Role.CLIENT,
        frozenset({"lab", "lab-2"}),
        frozenset({"vm"}),
        frozenset({"hooks.lab"}),
    )
    assert issued.secret not in repr(issued)


async def test_a_token_without_limits_has_none(
    broker: Broker, authenticator: TokenAuthenticator
) -> None:
    """A token that names no owners, types or hosts is limited to none; its name is made up."""
    issued = await tokens.create(broker, NewToken(Role.OPERATOR))
    identity = await authenticator.identify({"authorization": f"bearer  {issued.secret} "})
    assert identity == Identity(f"token:{issued.name}", Role.OPERATOR)
    assert re.fullmatch("operator-[0-9a-f]{8}", issued.name)


@pytest.mark.parametrize("value", ["", "Basic cm9vdDp4", "Bearer ey.ey.x", "Bearer", "rqb_x"])
async def test_other_credentials_are_none_of_its_business(
    authenticator: TokenAuthenticator, value: str
) -> None:
    """Without a bearer token of ours there is no identity, and no error."""
    assert await authenticator.identify({"authorization": value} if value else {}) is None


@pytest.mark.usefixtures("uncached")
async def test_each_refusal_has_its_code(broker: Broker, client: Redis) -> None:
    """A typo, a token of nobody, an expired, a revoked and a replaced one are told apart."""
    now = [0.0]
    authenticator = TokenAuthenticator(broker.token, lambda: now[0])
    made = {
        name: await tokens.create(broker, NewToken(Role.ADMIN, name, expires=60.0))
        for name in ("expired", "revoked", "replaced", "damaged")
    }
    now[0] = made["expired"].created
    for issued in made.values():
        assert await authenticator.identify(headers(issued.secret))
    await broker.revoke_token("revoked")
    await tokens.rotate(broker, "replaced", Rotation(expires=600.0))
    await client.hset(f"rqb:{{/}}:token:{made['damaged'].id}", "role", "king")
    now[0] += 59.0
    assert await authenticator.identify(headers(made["expired"].secret))
    now[0] += 2.0
    secrets = {name: issued.secret for name, issued in made.items()}
    for secret, error in {
        new_secret(): errors.TokenUnknown,
        new_secret()[:-1]: errors.TokenMalformed,
        "rqb_": errors.TokenMalformed,
        secrets["expired"]: errors.TokenExpired,
        secrets["revoked"]: errors.TokenRevoked,
        secrets["replaced"]: errors.TokenRevoked,
        secrets["damaged"]: errors.TokenUnknown,
    }.items():
        with pytest.raises(error):
            await authenticator.identify(headers(secret))


async def test_the_store_keeps_no_token(broker: Broker, client: Redis) -> None:
    """No key, field or value in Redis holds a token or half of it."""
    issued = await tokens.create(broker, LAB)
    other = await tokens.rotate(broker, "ci", Rotation())
    held = [
        str(await client.hgetall(name)) for name in await key_names(client) if ":token:" in name
    ]
    assert len(held) == 2
    for secret in (issued.secret, other.secret):
        text = " ".join([*held, *await key_names(client)])
        assert secret[4:28] not in text
        assert secret[28:] not in text


async def test_what_was_accepted_is_asked_again_soon(broker: Broker) -> None:
    """A process asks the store for a token once within half a second, and then again."""
    reads = 0

    async def read(digest: str) -> Token | None:
        nonlocal reads
        reads += 1
        return await broker.token(digest)

    times = [0.0]
    authenticator = TokenAuthenticator(read, clock=lambda: times[0])
    issued = await tokens.create(broker, LAB)
    await authenticator.identify(headers(issued.secret))
    await broker.revoke_token("ci")
    times[0] = tokens.CACHED_SECONDS - 0.01
    await authenticator.identify(headers(issued.secret))
    assert (reads, tokens.CACHED_SECONDS) == (1, 0.5)
    times[0] = tokens.CACHED_SECONDS
    with pytest.raises(errors.TokenRevoked):
        await authenticator.identify(headers(issued.secret))
    assert reads == 2


async def test_the_memory_for_accepted_tokens_is_bounded(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With more tokens than fit, those used longest ago are asked for again; a flood of tokens that
    nobody made drops none that is accepted."""
    monkeypatch.setattr(answer_cache, "_MOST_BYTES", 3 * answer_cache._ENTRY_BYTES)
    authenticator = TokenAuthenticator(broker.token)
    for _ in range(9):
        issued = await tokens.create(broker, NewToken(Role.VIEWER))
        assert await authenticator.identify(headers(issued.secret))
    assert len(authenticator._answers) == 3
    for _ in range(9):
        with pytest.raises(errors.TokenUnknown):
            await authenticator.identify(headers(new_secret()))
    assert len(authenticator._answers) == 6


@pytest.mark.parametrize("is_revoked", [False, True])
async def test_what_was_refused_is_asked_again_soon(broker: Broker, is_revoked: bool) -> None:
    """A program that goes on with a wrong or an ended token costs the store a read in half a
    second."""
    reads, times = [], [0.0]

    async def read(digest: str) -> Token | None:
        reads.append(digest)
        return await broker.token(digest)

    authenticator = TokenAuthenticator(read, clock=lambda: times[0])
    secret = new_secret()
    if is_revoked:
        secret = (await tokens.create(broker, LAB)).secret
        await broker.revoke_token("ci")
    for now, count in ((0.0, 1), (0.1, 1), (0.49, 1), (0.5, 2), (0.6, 2)):
        times[0] = now
        with pytest.raises(errors.TokenRevoked if is_revoked else errors.TokenUnknown):
            await authenticator.identify(headers(secret))
        assert len(reads) == count


BAD: list[dict[str, object]] = [
    {"role": "king"},
    {"role": "client"},
    {"role": "client", "owners": []},
    {"role": "client", "owners": ["a\n"]},
    {"role": "admin", "types": ["vm"]},
    {"role": "admin", "callback_hosts": ["x"]},
    {"role": "operator", "owners": ["a"]},
    {"role": "source", "owners": ["a"]},
    {"role": "operator", "types": ["a/b"]},
    {"role": "operator", "types": []},
    {"role": "viewer", "expires": 0},
    {"role": "viewer", "name": "a/b"},
    {"role": "viewer", "more": 1},
]


@pytest.mark.parametrize("body", BAD, ids=str)
def test_what_no_token_can_be(body: dict[str, object]) -> None:
    """A role with limits that it cannot have, or without those that it needs, is refused."""
    with pytest.raises(errors.Invalid):
        new_token(body)
