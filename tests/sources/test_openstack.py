"""Logins as the OpenStack command line reads them, against a replacement for Keystone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from standins.http_servers import Server
from standins.placement_server import Placement

from rq_broker.sources import Misconfigured, Refused
from rq_broker.sources.placement import PlacementSource

PASSWORD = {
    "username": "broker",
    "password": "secret",
    "user_domain_id": "default",
    "project_name": "lab",
    "project_domain_id": "default",
}
APPLICATION = {"application_credential_id": "an-id", "application_credential_secret": "secret"}
Login = tuple[str, dict[str, str], list[str]]
LOGINS: list[Login] = [
    ("password", PASSWORD, ["password"]),
    ("v3applicationcredential", APPLICATION, ["application_credential"]),
    ("token", {"token": "secret", "project_id": "lab"}, ["token"]),
]


class Keystone:
    """Answers logins as Keystone v3 does, with the token that Placement's noauth2 accepts."""

    def __init__(self, placement: Placement | Server) -> None:
        self.logins: list[Any] = []
        self.placement = placement
        self.server = Server(self.answer)
        self.url = self.server.url

    def answer(
        self, path: str, _headers: Mapping[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        if path.endswith("/auth/tokens"):
            return self.login(json.loads(body)["auth"]["identity"])
        links = [{"rel": "self", "href": f"{self.url}/v3"}]
        version = {"id": "v3.14", "status": "stable", "links": links}
        return 200, {}, json.dumps({"version": version}).encode()

    def login(self, identity: Mapping[str, Any]) -> tuple[int, dict[str, str], bytes]:
        self.logins.append(identity["methods"])
        if "secret" not in json.dumps(identity):
            return 401, {}, b'{"error": {"message": "wrong", "code": 401}}'
        regions = {"RegionOne": "http://127.0.0.1:1", "RegionTwo": self.placement.url}
        endpoints = [
            {"id": region, "interface": "public", "region": region, "region_id": region, "url": url}
            for region, url in regions.items()
        ]
        token = {
            "methods": identity["methods"],
            "user": {"id": "u", "name": "broker", "domain": {"id": "default", "name": "Default"}},
            "project": {"id": "p", "name": "lab", "domain": {"id": "default", "name": "Default"}},
            "issued_at": "2026-01-01T00:00:00.000000Z",
            "expires_at": "2099-01-01T00:00:00.000000Z",
            "catalog": [{"id": "c", "type": "placement", "name": "p", "endpoints": endpoints}],
        }
        return 201, {"X-Subject-Token": "admin"}, json.dumps({"token": token}).encode()


@pytest.fixture
def keystone(placement: Placement) -> Iterator[Keystone]:
    keystone = Keystone(placement)
    placement.add("cn1", VCPU=4)
    yield keystone
    keystone.server.stop()


@pytest.mark.parametrize("login", LOGINS, ids=lambda login: login[0])
async def test_a_login_from_clouds_yaml(
    keystone: Keystone, clouds: Callable[..., None], login: Login
) -> None:
    """Each login uses its own method of Keystone's; the region selects Placement in the catalog."""
    type_, auth, methods = login
    clouds(auth_type=type_, auth=auth | {"auth_url": f"{keystone.url}/v3"}, region_name="RegionTwo")
    source = PlacementSource(cloud="lab")
    assert [host.name for host in (await source.snapshot()).hosts] == ["cn1"]
    await source.snapshot()
    assert keystone.logins == [methods]
    await source.close()


@pytest.mark.parametrize("login", LOGINS, ids=lambda login: login[0])
async def test_a_login_from_the_environment(
    keystone: Keystone,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    login: Login,
) -> None:
    """OS_* variables log in as on the OpenStack command line, without a file."""
    type_, auth, methods = login
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OS_AUTH_TYPE", type_)
    monkeypatch.setenv("OS_AUTH_URL", f"{keystone.url}/v3")
    monkeypatch.setenv("OS_REGION_NAME", "RegionTwo")
    for name, value in auth.items():
        monkeypatch.setenv(f"OS_{name.upper()}", value)
    source = PlacementSource()
    assert [host.name for host in (await source.snapshot()).hosts] == ["cn1"]
    assert keystone.logins == [methods]
    await source.close()


async def test_the_region_of_the_table_wins(
    keystone: Keystone, clouds: Callable[..., None]
) -> None:
    """`region` in the source's table overrides the cloud's own."""
    auth = PASSWORD | {"auth_url": f"{keystone.url}/v3"}
    clouds(auth=auth, regions=["RegionOne", "RegionTwo"])
    source = PlacementSource(cloud="lab", region="RegionTwo")
    assert len((await source.snapshot()).hosts) == 1
    await source.close()


async def test_a_wrong_password_is_refused(keystone: Keystone, clouds: Callable[..., None]) -> None:
    """Credentials that Keystone rejects raise another class than a cloud that does not answer."""
    clouds(auth=PASSWORD | {"auth_url": f"{keystone.url}/v3", "password": "wrong"})
    source = PlacementSource(cloud="lab")
    with pytest.raises(Refused):
        await source.snapshot()
    await source.close()


async def test_a_catalog_without_placement_is_a_misconfiguration(
    keystone: Keystone, clouds: Callable[..., None]
) -> None:
    """The sentence about a region whose catalog has no Placement names the service."""
    clouds(auth=PASSWORD | {"auth_url": f"{keystone.url}/v3"}, region_name="Nowhere")
    source = PlacementSource(cloud="lab")
    with pytest.raises(Misconfigured, match="placement"):
        await source.snapshot()
    await source.close()


def test_an_incomplete_login_is_reported_at_once(clouds: Callable[..., None]) -> None:
    """A cloud without a user name fails when the source is opened, not with the first snapshot."""
    clouds(auth_type="v3password", auth={"auth_url": "http://127.0.0.1:1/v3"})
    with pytest.raises(Misconfigured, match="OpenStack's settings"):
        PlacementSource(cloud="lab")
