"""The real Keystone before the real Placement: logins, roles, tokens that end, outages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from standins.http_servers import Server
from standins.keystone_server import Keystone
from standins.placement_server import Placement

from rq_broker.sources import SourceFailed
from rq_broker.sources.nova import STATES
from rq_broker.sources.placement import PlacementSource


@pytest.fixture(scope="module")
def guarded_process(
    placement_process: Placement, keystone_process: Keystone
) -> Iterator[Placement]:
    """A second Placement on the first one's database, which asks Keystone about every token."""
    guarded = Placement(placement_process.database.parent, keystone=keystone_process.url)
    keystone_process.endpoint("placement", guarded.url)
    yield guarded
    guarded.stop()


@pytest.fixture
def keystone(
    keystone_process: Keystone,
    guarded_process: Placement,  # noqa: ARG001 - it is in the catalogue
    placement: Placement,
    nova: Server,
) -> Keystone:
    if keystone_process.child.poll() is not None:  # a test that failed left it down
        keystone_process.start()
    keystone_process.endpoint("compute", nova.url)
    placement.add("cn1", VCPU=4)
    return keystone_process


ADVICE = "it needs the role admin or service in a project; this login has "
Opened = Callable[..., PlacementSource]


@pytest.fixture
def opened(clouds: Callable[..., None]) -> Opened:
    """Open a source with the `auth` of a cloud."""

    def open_source(auth: dict[str, str], **settings: Any) -> PlacementSource:
        kind = "v3applicationcredential" if "application_credential_id" in auth else "password"
        clouds(auth_type=kind, auth=auth, region_name="RegionOne")
        return PlacementSource(cloud="lab", **settings)

    return open_source


async def hosts(source: PlacementSource) -> list[str]:
    return [host.name for host in (await source.snapshot()).hosts]


async def failure(source: PlacementSource) -> tuple[str, str]:
    with pytest.raises(SourceFailed) as failed:
        await source.snapshot()
    return failed.value.cause, str(failed.value)


async def test_password_and_application_credential_log_in(
    keystone: Keystone, opened: Opened
) -> None:
    """Both find Placement and Nova in the catalogue, and read all hosts."""
    for auth in (keystone.auth("admin"), keystone.credential("admin")):
        source = opened(auth)
        snapshot = await source.snapshot()
        assert [host.name for host in snapshot.hosts] == ["cn1"]
        assert snapshot.unread == {}
        await source.close()


async def test_roles_against_placements_own_policy(keystone: Keystone, opened: Opened) -> None:
    """admin and service may read Placement; the others are refused with Placement's sentence, and
    told which roles may and which one they have."""
    outcomes = {}
    for role in ("reader", "member", "manager", "service", "admin"):
        source = opened(keystone.auth(role))
        try:
            outcomes[role] = " ".join(await hosts(source))
        except SourceFailed as failed:
            outcomes[role] = f"{failed.cause}: {failed}"
        await source.close()
    for role in ("reader", "member", "manager"):
        text = outcomes.pop(role)
        assert text.startswith("refused: placement /allocation_candidates")
        assert ADVICE in text
        assert text.rpartition("; this login has ")[2].startswith(role)
        assert text.endswith(" in project lab")
    assert outcomes == {"service": "cn1", "admin": "cn1"}


@pytest.mark.parametrize(
    ("scope", "place"),
    [
        ({"system_scope": "all"}, "on the system, which is no project"),
        ({"domain_id": "default"}, "in domain Default, which is no project"),
    ],
    ids=["system", "domain"],
)
async def test_an_admin_of_more_than_a_project_is_told_to_log_in_to_one(
    keystone: Keystone, opened: Opened, scope: dict[str, str], place: str
) -> None:
    """With system or domain scope the role admin reads nothing, and the sentence says why."""
    keystone.grant_domain_and_system("admin")
    auth = keystone.auth("admin", **scope)
    source = opened({name: auth[name] for name in auth if not name.startswith("project_")})
    cause, text = await failure(source)
    assert (cause, ADVICE in text) == ("refused", True)
    assert text.endswith(f"; this login has admin, manager, member, reader {place}")
    await source.close()


async def test_a_deleted_credential_is_refused_and_drops_no_host(
    keystone: Keystone, opened: Opened
) -> None:
    """Keystone answers 404 with its own sentence; also after a token was had with it."""
    auth = keystone.credential("service")
    source = opened(auth)
    assert await hosts(source) == ["cn1"]
    keystone.delete_credential(auth, "service")
    cause, text = await failure(source)
    assert (cause, "Could not find Application Credential" in text) == ("refused", True)
    source.placement._session.invalidate()
    assert (await failure(source))[0] == "refused"
    await source.close()


async def test_a_token_that_ends_is_renewed(keystone: Keystone, opened: Opened) -> None:
    """After a rotation that ended every token the next snapshot logs in again, and is whole."""
    source = opened(keystone.auth("service"))
    assert await hosts(source) == ["cn1"]
    keystone.rotate_keys()
    assert await hosts(source) == ["cn1"]
    await source.close()


async def test_tokens_of_seconds_are_renewed(keystone: Keystone, opened: Opened) -> None:
    """With tokens shorter than the margin of the library each request has a fresh one."""
    keystone.stop()
    keystone.expiration = 8
    keystone.start()
    source = opened(keystone.auth("service"))
    try:
        for _ in range(3):
            assert await hosts(source) == ["cn1"]
    finally:
        keystone.stop()
        keystone.expiration = 3600
        keystone.start()
    await source.close()


async def test_keystone_away_is_unreachable_and_comes_back(
    keystone: Keystone, opened: Opened
) -> None:
    """Killed before the first login and behind a token: unreachable, and whole when it is back."""
    late, early = opened(keystone.auth("service")), opened(keystone.auth("service"))
    assert await hosts(early) == ["cn1"]
    keystone.stop()
    assert (await failure(late))[0] == "unreachable"
    cause, text = await failure(early)  # Placement itself cannot ask about the token
    assert (cause, "Keystone" in text or "keystone" in text) == ("unreachable", True)
    keystone.start()
    assert await hosts(late) == await hosts(early) == ["cn1"]
    await late.close()
    await early.close()


async def test_a_login_without_a_project_is_told(keystone: Keystone, opened: Opened) -> None:
    """An unscoped login has no catalogue: a misconfiguration, with a sentence about that."""
    auth = keystone.auth("admin")
    source = opened({name: auth[name] for name in auth if not name.startswith("project_")})
    cause, text = await failure(source)
    assert (cause, text.endswith("A login without a project has none.")) == ("misconfigured", True)
    await source.close()


async def test_regions_have_their_own_services(
    keystone: Keystone, clouds: Callable[..., None], guarded_process: Placement
) -> None:
    """A region without compute is told as unread, one without Placement fails with its name."""
    keystone.endpoint("placement", guarded_process.url, "RegionTwo")
    clouds(auth=keystone.auth("admin"))
    source = PlacementSource(cloud="lab", region="RegionTwo")
    snapshot = await source.snapshot()
    assert [host.name for host in snapshot.hosts] == ["cn1"]
    assert "compute service in RegionTwo region not found" in snapshot.unread[STATES]
    await source.close()
    source = PlacementSource(cloud="lab", region="RegionThree")
    cause, text = await failure(source)
    assert (cause, "placement service in RegionThree" in text) == ("misconfigured", True)
    await source.close()
