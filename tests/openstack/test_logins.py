"""What Keystone refuses, and a Keystone that is away, are told as such, and no host is dropped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from openstack_cloud import Cloud
from openstack_cloud.broker import Broker
from standins.http_servers import Server


def wait_for_cause(broker: Broker, cause: str) -> str:
    """Wait until the source fails for a cause; return the sentence that it gives."""
    found: list[Any] = []

    def fails() -> bool:
        found[:] = broker.sources()
        return [source["cause"] for source in found] == [cause]

    broker.wait_for(fails, f"the cause {cause}")
    return str(found[0])


def wait_until_fresh(broker: Broker) -> None:
    """Wait until the source has read all there is."""
    broker.wait_for(
        lambda: all(not (source["stale"] or source["cause"]) for source in broker.sources()),
        "a fresh source",
    )


def test_a_deleted_credential_is_refused(cloud: Cloud, broker: Broker) -> None:
    """With a deleted application credential the source is refused, and its hosts stay."""
    credential = cloud.application_credential("broker")
    broker.start_notifiers(lab=credential)
    wait_until_fresh(broker)
    cloud.delete_application_credential("broker", credential)
    broker.start_notifiers()  # Placement honours the old token for minutes
    wait_for_cause(broker, "refused")
    assert broker.hosts().keys() == cloud.hosts.keys()


@pytest.mark.parametrize("role", ["reader", "member", "manager"])
def test_a_role_that_may_not_read_is_refused(role: str, cloud: Cloud, broker: Broker) -> None:
    """A user whose role may not read Placement is refused, and the hosts stay."""
    broker.start_notifiers(lab=cloud.login_as(role))
    wait_for_cause(broker, "refused")
    assert broker.hosts().keys() == cloud.hosts.keys()


def test_a_stopped_keystone_is_unreachable(cloud: Cloud, broker: Broker) -> None:
    """While Keystone is down the source is unreachable; afterwards it works without a restart."""
    cloud.stop("keystone")
    broker.start_notifiers()
    wait_for_cause(broker, "unreachable")
    assert broker.hosts().keys() == cloud.hosts.keys()
    cloud.start("keystone")
    wait_until_fresh(broker)


@pytest.fixture
def busy_keystone() -> Iterator[Server]:
    body = {"error": {"code": 503, "title": "Unavailable", "message": "back at noon"}}
    server = Server(lambda *_: (503, {}, json.dumps(body).encode()))
    yield server
    server.stop()


def test_a_busy_keystone_is_unreachable_in_its_own_words(
    cloud: Cloud, broker: Broker, busy_keystone: Server
) -> None:
    """A Keystone that answers 503 is unreachable, with the sentence of its answer."""
    login = cloud.login_as("broker")
    login["auth"]["auth_url"] = f"{busy_keystone.url}/v3"
    broker.start_notifiers(lab=login)
    assert "back at noon" in wait_for_cause(broker, "unreachable")


def test_a_wrong_cacert_is_told_once(cloud: Cloud, broker: Broker) -> None:
    """A notifier whose cacert leads nowhere does not start, and says why in one line."""
    login = cloud.login_as("broker")
    broker.start_notifiers(lab={**login, "cacert": "/no/such/ca.pem"})
    broker.wait_for(lambda: not broker.runs("notifier0"), "the notifier to end")
    lines = [line for line in broker.log().splitlines() if "/no/such/ca.pem" in line]
    assert len(lines) == 1
    assert "Traceback" not in broker.log()
