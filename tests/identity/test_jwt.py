"""JWTs: which are accepted, and the code of each refusal; keys that rotate and that go away."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import assume, given, settings, strategies as st
from joserfc import jws
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey
from standins.http_servers import Server, canned
from starlette.applications import Starlette

from rq_broker.api import create_app
from rq_broker.domain.errors import BrokerError, Invalid
from rq_broker.domain.identity import Identity, Role
from rq_broker.identity.jwt import JwtAuthenticator
from rq_broker.identity.jwt_claims import LEEWAY, ClaimReader
from rq_broker.identity.jwt_keys import FRESH_URL, MOST_AGE, RETRY, IssuerKeys, read_keys
from rq_broker.store.broker import Broker
from rq_broker.store.connection import in_memory

ISSUER, AUDIENCE = "https://issuer.example", "rq-broker"
ROLES = ("admin=admin", "operator=operator", "source=source", "client=client", "viewer=viewer")
NOW = int(time.time())
RSA = RSAKey.generate_key(2048, {"kid": "rsa"})
EC = ECKey.generate_key("P-256", {"kid": "ec"})
ED = OKPKey.generate_key("Ed25519", {"kid": "ed"})
OTHER = RSAKey.generate_key(2048, {"kid": "other"})
REGISTRY = jws.JWSRegistry(
    algorithms=["none", "HS256", "RS256", "RS512", "PS256", "ES256", "ES384", "Ed25519"],
    strict_check_header=False,
)
CLAIMS = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ci", "exp": NOW + 600, "roles": ["client"]}


class Clock:
    """Clocks that stand still until a test moves them, seconds."""

    def __init__(self) -> None:
        self.now = 5000.0

    def __call__(self) -> float:
        return self.now

    def wall(self) -> float:
        return NOW + self.now - 5000


def key_set(*keys: Key, **members: Any) -> dict[str, Any]:
    return {"keys": [{**key.as_dict(private=False), **members} for key in keys]}


def publish(path: Path, *keys: Key) -> None:
    path.write_text(json.dumps(key_set(*keys)))


def signed(
    claims: Mapping[str, Any] | bytes = CLAIMS, key: Key = RSA, alg: str = "RS256", **header: Any
) -> str:
    """Return a JWT; `kid` is the key's own unless given, and left out if that is None."""
    header = {"alg": alg, "kid": key.kid, **header}
    header = {name: value for name, value in header.items() if value is not None}
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    return jws.serialize_compact(header, payload, key, registry=REGISTRY)


def without_signature(**header: Any) -> str:
    parts = (json.dumps(header).encode(), json.dumps(CLAIMS).encode())
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts) + "."


def reader(clock: Clock, **others: Any) -> ClaimReader:
    named: dict[str, Any] = {"issuer": ISSUER, "audience": AUDIENCE, "owner": "sub"}
    return ClaimReader(**named | {"role": "roles", "roles": ROLES, "now": clock.wall} | others)


async def outcome(authenticator: JwtAuthenticator, token: str) -> Identity | str | None:
    """Return whom a JWT proves, or the code of its refusal."""
    try:
        return await authenticator.identify({"authorization": f"Bearer {token}"})
    except BrokerError as error:
        return error.code


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "keys.json"
    publish(path, RSA, EC, ED)
    return path


@pytest.fixture
def opened(key_file: Path, clock: Clock) -> Callable[..., JwtAuthenticator]:
    """Open an authenticator on the file of keys; arguments are the reader's of claims."""
    return lambda **others: JwtAuthenticator(
        IssuerKeys(str(key_file), clock), reader(clock, **others), clock
    )


def with_public_key_as_secret() -> str:
    text = without_signature(alg="HS256", kid="rsa")[:-1]
    signature = hmac.digest(RSA.as_pem(private=False), text.encode(), "sha256")
    return f"{text}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


CI = Identity("jwt:ci", Role.CLIENT, frozenset({"ci"}))
ACCEPTED: Mapping[str, Callable[[], str]] = {
    "RS256": signed,
    "ES256": lambda: signed(key=EC, alg="ES256"),
    "Ed25519": lambda: signed(key=ED, alg="Ed25519"),
    "several audiences": lambda: signed({**CLAIMS, "aud": ["a", AUDIENCE]}),
    "expired within the leeway": lambda: signed({**CLAIMS, "exp": NOW - LEEWAY + 1}),
    "valid within the leeway": lambda: signed({**CLAIMS, "nbf": NOW + LEEWAY - 1}),
    "unknown headers": lambda: signed(ver="1", x5t="abc", typ="at+jwt"),
    "no kid, one key that fits": lambda: signed(key=EC, alg="ES256", kid=None),
    "roles in words": lambda: signed({**CLAIMS, "roles": "openid client"}),
}
REFUSED: Mapping[str, tuple[str, Callable[[], str]]] = {
    "not signed": ("jwt_algorithm", lambda: without_signature(alg="none")),
    "not signed, in other letters": ("jwt_algorithm", lambda: without_signature(alg="nOnE")),
    "no alg": ("jwt_malformed", lambda: without_signature(typ="JWT")),
    "alg is no string": ("jwt_algorithm", lambda: without_signature(alg=["RS256"])),
    "the public key as a secret": (
        "jwt_algorithm", with_public_key_as_secret),
    "another algorithm of the key": ("jwt_algorithm", lambda: signed(alg="PS256")),
    "an algorithm of another key": (
        "jwt_unknown_key", lambda: signed(key=EC, alg="ES256", kid="rsa")),
    "signature left out": ("jwt_bad_signature", lambda: without_signature(alg="RS256", kid="rsa")),
    "signed by another key": ("jwt_bad_signature", lambda: signed(key=OTHER, kid="rsa")),
    "a key in the header": (
        "jwt_bad_signature",
        lambda: signed(key=OTHER, kid="rsa", jwk=OTHER.as_dict(private=False))),
    "unknown kid": ("jwt_unknown_key", lambda: signed(key=OTHER)),
    "kid is no string": ("jwt_malformed", lambda: without_signature(alg="RS256", kid=1)),
    "a header that must be understood": (
        "jwt_malformed", lambda: without_signature(alg="RS256", kid="rsa", crit=["x"], x=1)),
    "payload not encoded": (
        "jwt_malformed", lambda: without_signature(alg="RS256", kid="rsa", b64=False)),
    "a deep header": (
        "jwt_malformed",
        lambda: base64.urlsafe_b64encode(b'{"alg":' + b"[" * 5000).decode().rstrip("=") + ".e.s"),
    "payload no object": ("jwt_malformed", lambda: signed(b"[1]")),
    "payload no JSON": ("jwt_malformed", lambda: signed(b"hello")),
    "too long": ("jwt_malformed", lambda: signed({**CLAIMS, "x": "y" * 17_000})),
    "another issuer": ("jwt_wrong_issuer", lambda: signed({**CLAIMS, "iss": ISSUER + "/"})),
    "no issuer": ("jwt_wrong_issuer", lambda: signed({**CLAIMS, "iss": None})),
    "another audience": ("jwt_wrong_audience", lambda: signed({**CLAIMS, "aud": "rq-brokers"})),
    "no audience": ("jwt_wrong_audience", lambda: signed({**CLAIMS, "aud": None})),
    "an audience that has it as a key": (
        "jwt_wrong_audience", lambda: signed({**CLAIMS, "aud": {AUDIENCE: 1}})),
    "expired": ("jwt_expired", lambda: signed({**CLAIMS, "exp": NOW - LEEWAY})),
    "not yet valid": ("jwt_not_yet_valid", lambda: signed({**CLAIMS, "nbf": NOW + LEEWAY + 1})),
    "no exp": ("jwt_claims", lambda: signed({**CLAIMS, "exp": None})),
    "exp no number": ("jwt_claims", lambda: signed({**CLAIMS, "exp": str(NOW + 600)})),
    "exp true": ("jwt_claims", lambda: signed({**CLAIMS, "exp": True})),
    "exp not a number": ("jwt_malformed", lambda: signed({**CLAIMS, "exp": float("nan")})),
    "nbf no number": ("jwt_claims", lambda: signed({**CLAIMS, "nbf": "soon"})),
    "no subject": ("jwt_claims", lambda: signed({**CLAIMS, "sub": None})),
    "a subject with a line": ("jwt_claims", lambda: signed({**CLAIMS, "sub": "a\nb"})),
    "no role": ("no_role", lambda: signed({**CLAIMS, "roles": ["king"]})),
    "roles of another form": ("no_role", lambda: signed({**CLAIMS, "roles": {"client": 1}})),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
async def test_each_refusal_has_its_code(opened: Callable[..., JwtAuthenticator]) -> None:
    """What is well signed and valid is let in; all else is refused with a code of its own."""
    authenticator = opened()
    for name, make in ACCEPTED.items():
        assert await outcome(authenticator, make()) == CI, name
    for name, (code, make) in REFUSED.items():
        assert await outcome(authenticator, make()) == code, name
    assert await outcome(authenticator, eddsa()) == CI
    for header in ("Bearer rqb_0123456789", "Basic eA==", ""):
        assert await authenticator.identify({"authorization": header}) is None, header
    assert await authenticator.identify({}) is None


def eddsa() -> str:
    """Return a JWT under the name that RFC 9864 replaces, by which joserfc warns to sign."""
    text = without_signature(alg="EdDSA", kid="ed")[:-1]
    private = ED.get_op_key("sign")
    assert isinstance(private, Ed25519PrivateKey)
    signature = private.sign(text.encode())
    return f"{text}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


async def test_claims_name_role_and_owners(opened: Callable[..., JwtAuthenticator]) -> None:
    """The claims are named by configuration, also within others; who is bound needs an owner."""
    lab = {"project": {"id": ["lab", "lab-2"]}, "realm": {"roles": ["x", "viewer", "client"]}}
    authenticator = opened(owner="project.id", role="realm.roles")
    owners = frozenset({"lab", "lab-2"})
    found = await outcome(authenticator, signed({**CLAIMS, **lab}))
    assert found == Identity("jwt:ci", Role.CLIENT, owners)
    for role in (Role.SOURCE, Role.OPERATOR, Role.ADMIN):
        claims = {**CLAIMS, "realm": {"roles": [role.value]}}
        assert await outcome(authenticator, signed(claims)) == Identity("jwt:ci", role)
    for owner in (
        None,
        [],
        "",
        "a\nb",
        ["lab", "*"],
        ["lab", 1],
        {"lab": 1},
        "x" * 256,
        ["lab"] * 101,
    ):
        claims = {**CLAIMS, "project": {"id": owner}, "realm": {"roles": ["client"]}}
        assert await outcome(authenticator, signed(claims)) == "jwt_claims", owner
    dotted = opened(role="https://x.example/roles")
    claims = {**CLAIMS, "https://x.example/roles": "client"}
    assert await outcome(dotted, signed(claims)) == CI


async def test_a_file_of_keys_is_read_again(
    key_file: Path, opened: Callable[..., JwtAuthenticator], clock: Clock
) -> None:
    """A new kid is found at once, at most every some seconds; a withdrawn key is soon refused."""
    authenticator, old, new = opened(), signed(), signed(key=OTHER)
    assert await outcome(authenticator, old) == CI
    publish(key_file, OTHER)
    assert await outcome(authenticator, new) == "jwt_unknown_key"
    clock.now += RETRY
    assert await outcome(authenticator, new) == CI
    assert await outcome(authenticator, old) == "jwt_unknown_key"
    publish(key_file)
    clock.now += MOST_AGE - 1
    authenticator._answers.clear()
    assert await outcome(authenticator, signed({**CLAIMS, "exp": NOW + 9999}, OTHER)) == CI


@pytest.fixture
def issuer() -> Iterator[tuple[Server, dict[str, Any]]]:
    answers: dict[str, Any] = {"/jwks": key_set(RSA)}
    server = Server(canned(answers))
    yield server, answers
    server.stop()


async def test_keys_of_a_url_rotate_and_go_away(
    issuer: tuple[Server, dict[str, Any]], clock: Clock
) -> None:
    """Readings are shared and bounded; without the issuer the last keys serve for an hour."""
    server, answers = issuer
    claims = {**CLAIMS, "exp": NOW + 99_999}
    authenticator = JwtAuthenticator(IssuerKeys(f"{server.url}/jwks", clock), reader(clock), clock)
    tokens = [signed({**claims, "jti": number}) for number in range(10)]
    found = await asyncio.gather(*(outcome(authenticator, token) for token in tokens))
    assert (found, len(server.log)) == ([CI] * 10, 1)
    for number in range(50):
        forged = signed({**claims, "jti": number}, OTHER, kid=f"made up {number}")
        assert await outcome(authenticator, forged) == "jwt_unknown_key"
    assert len(server.log) == 1
    # The same kid for a new key, as some issuers do it.
    answers["/jwks"] = key_set(OTHER, kid="rsa")
    clock.now += RETRY
    assert await outcome(authenticator, signed(claims, OTHER, kid="rsa")) == CI
    assert await outcome(authenticator, tokens[0]) == "jwt_bad_signature"
    for fault in ("500", "not json", "another shape", "reset", "torn"):
        server.fault = fault
        clock.now += FRESH_URL
        fresh = signed({**claims, "jti": fault}, OTHER, kid="rsa")
        assert await outcome(authenticator, fresh) == CI, fault
    clock.now += MOST_AGE
    assert await outcome(authenticator, signed(claims, OTHER, kid="rsa")) == "jwt_keys_unavailable"
    server.fault = ""
    clock.now += RETRY
    assert await outcome(authenticator, signed(claims, OTHER, kid="rsa")) == CI


@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
def test_only_keys_that_can_verify_are_read() -> None:
    """Symmetric, short and encrypting keys, other curves and broken entries are left out."""
    good = RSA.as_dict(private=False)
    short = RSAKey.generate_key(1536, {"kid": "s"}).as_dict(private=False)
    entries: list[Any] = [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "o"}, {**good, "use": "enc"}, short, None, 1, {},
        {**good, "key_ops": ["sign"]}, {**good, "key_ops": 1}, {**good, "kid": 1},
        {**good, "alg": "PS256"}, {**good, "alg": ["RS256"]}, {"kty": "EC", "crv": "P-256"},
        ECKey.generate_key("P-384").as_dict(private=False), {"kty": []}, {**good, "n": 5},
    ]  # fmt: skip
    private = {**RSA.as_dict(private=True), "alg": "RS256", "use": "sig"}
    (key,) = read_keys(json.dumps({"keys": [*entries, private]}).encode())
    assert (key.kid, key.algorithms, key.key.is_private) == ("rsa", frozenset({"RS256"}), False)
    for text in ("", "[]", "{}", '{"keys": 1}', json.dumps({"keys": entries})):
        with pytest.raises(ValueError, match=r"."):
            read_keys(text.encode())


async def test_the_key_must_be_named_among_several(key_file: Path, clock: Clock) -> None:
    """A JWT without a kid is refused if two keys could have signed it, with a code of its own."""
    publish(key_file, RSA, OTHER)
    authenticator = JwtAuthenticator(IssuerKeys(str(key_file), clock), reader(clock), clock)
    assert await outcome(authenticator, signed(kid=None)) == "jwt_key_not_named"


@pytest.mark.parametrize(
    "place", ["http://issuer.example/jwks", "ftp://x/y", "https://", "/does/not/exist"]
)
def test_a_wrong_place_of_keys_is_told(place: str) -> None:
    """Plain http beyond loopback, other schemes and missing files are refused at the start."""
    with pytest.raises(Invalid, match="--jwt-keys"):
        IssuerKeys(place)


TOKEN = signed()
PARTS = st.one_of(
    st.text(max_size=40),
    st.binary(max_size=60).map(lambda part: base64.urlsafe_b64encode(part).decode().rstrip("=")),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text() | st.integers(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["alg", "kid", "exp", "aud", "iss"]), inner)
        ),
        max_leaves=8,
    ).map(lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")),
    st.sampled_from(TOKEN.split(".")),
)
TOKENS = st.lists(PARTS, max_size=5).map(".".join)
HEADERS = st.one_of(
    TOKENS.map(lambda token: f"Bearer {token}"),
    st.builds("{}{}{}".format, st.sampled_from(["bearer", "BEARER", "Basic", "Bearer\t", ""]),
              st.sampled_from([" ", "  ", ""]), TOKENS),
    st.text(max_size=60),
)  # fmt: skip


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Starlette:
    path = tmp_path_factory.mktemp("jwt") / "keys.json"
    publish(path, RSA, EC, ED)
    authenticator = JwtAuthenticator(IssuerKeys(str(path)), reader(Clock()))
    return create_app(Broker(in_memory()), authenticators=[authenticator])


CODES = {"unauthenticated", "jwt_malformed", "jwt_algorithm", "jwt_unknown_key"}
CODES |= {"jwt_bad_signature", "jwt_key_not_named"}


@settings(deadline=None, max_examples=150)
@given(header=HEADERS)
def test_no_made_up_header_lets_anybody_in(app: Starlette, header: str) -> None:
    """Whatever stands in Authorization: 401 with a code, and never a 500 or an identity."""
    assume(TOKEN not in header)
    answer = asyncio.run(_ask(app, header.encode("utf-8", "surrogatepass")))
    assert (answer.status_code, answer.json()["code"] in CODES) == (401, True), answer.text
    assert answer.headers["www-authenticate"].startswith("Bearer ")


async def _ask(app: Starlette, authorization: bytes) -> httpx.Response:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.get("/v1", headers=[(b"authorization", authorization)])
