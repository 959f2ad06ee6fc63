"""The cost of access control: submits that prove who asks, against anonymous ones."""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from joserfc import jws
from joserfc.jwk import ECKey
from standins.keystone_server import Keystone

from benches import kit
from benches.http_submitting import against, serve_ours
from benches.kit import Figure, Size
from rq_broker.domain.identity import Role
from rq_broker.domain.tokens import NewToken
from rq_broker.identity import tokens
from rq_broker.store.broker import Broker
from rq_broker.store.embedded import Server

_ISSUER, _AUDIENCE = "https://issuer.example", "rq-broker"
_HOUR = 3600


def token_submit(size: Size) -> list[Figure]:
    """One worker each, 16 connections: submits with a client's token against anonymous ones."""
    with kit.store() as server:
        secret = kit.run(server.url, _token)
        header = f"Authorization: Bearer {secret}"
        return _against_anonymous(size, server, "token-submit: with a token", ["tokens=1"], header)


def jwt_submit(size: Size) -> list[Figure]:
    """The same with a JWT signed by ES256, the issuer's keys in a file."""
    key = ECKey.generate_key("P-256", {"kid": "ec"})
    ends = int(time.time()) + _HOUR
    claims = {"iss": _ISSUER, "aud": _AUDIENCE, "sub": kit.OWNER, "exp": ends, "roles": ["client"]}
    signed = jws.serialize_compact({"alg": "ES256", "kid": "ec"}, json.dumps(claims), key)
    with kit.store() as server, TemporaryDirectory() as folder:
        kit.run(server.url, _make_type)
        keys = Path(folder, "keys.json")
        keys.write_text(json.dumps({"keys": [key.as_dict(private=False)]}))
        options = [f"jwt_issuer={_ISSUER}", f"jwt_audience={_AUDIENCE}", f"jwt_keys={keys}"]
        header = f"Authorization: Bearer {signed}"
        return _against_anonymous(size, server, "jwt-submit: with a JWT", options, header)


def keystone_submit(size: Size) -> list[Figure]:
    """The same with a token of a real Keystone, which is asked about it once in a minute."""
    with kit.store() as server, TemporaryDirectory() as folder:
        kit.run(server.url, _make_type)
        keystone = Keystone(Path(folder))
        try:
            login = {"clouds": {"bench": {"auth": keystone.auth("service")}}}
            clouds = Path(folder, "clouds.yaml")
            clouds.write_text(json.dumps(login))  # JSON is YAML
            os.environ["OS_CLIENT_CONFIG_FILE"] = str(clouds)
            token = _member_of(keystone, kit.OWNER)
            return _against_anonymous(
                size,
                server,
                "keystone-submit: with a token of Keystone",
                ["keystone_cloud=bench", "keystone_owner=name"],
                f"X-Auth-Token: {token}",
            )
        finally:
            keystone.stop()


def _member_of(keystone: Keystone, project: str) -> str:
    """Make a project; return the token of a member of it."""
    new = {"project": {"name": project, "domain_id": "default"}}
    made = keystone.call("POST", "/projects", new)["project"]["id"]
    role = keystone.call("GET", "/roles?name=member")["roles"][0]["id"]
    keystone.call("PUT", f"/projects/{made}/users/{keystone.users['member']}/roles/{role}")
    return keystone.token("member", project)["X-Auth-Token"]


def _against_anonymous(
    size: Size, server: Server, name: str, options: Sequence[str], header: str
) -> list[Figure]:
    """Compare an API with this access control and one without any, on the same store."""
    count = size.of(8000, 4000)
    numbers = itertools.count(0, count)
    with ExitStack() as stack:
        guarded = serve_ours(stack, server, *options, header=header)
        loads = [
            partial(target.load, numbers, count) for target in (guarded, serve_ours(stack, server))
        ]
        kit.turns(1, *loads)  # a warm-up
        with_header, without = kit.turns(size.pairs, *loads)
    return [against(f"{name}, without", with_header, without, 0.9)]


async def _make_type(broker: Broker) -> None:
    """Make the type, since clients may not."""
    await broker.set_policy(kit.TYPE, {})


async def _token(broker: Broker) -> str:
    """Make the type, and a token of a client that may submit to it."""
    await _make_type(broker)
    new = NewToken(Role.CLIENT, owners=[kit.OWNER], types=[kit.TYPE])
    return (await tokens.create(broker, new)).secret
