"""The policy lines of the page on OpenStack let in whom the page says, and nobody else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from openstack.exceptions import ForbiddenException
from openstack_cloud import Cloud
from openstack_cloud.broker import TYPE, Broker
from openstack_cloud.identity import USERS

from tests.openstack.jobs import Jobs, free, held, used
from tests.openstack.test_check_source import check_source
from tests.pages import blocks, page

SetPolicy = Callable[[str, str], None]


def lines(marker: str) -> str:
    """Return the one block of policy lines on the page that holds this text."""
    (found,) = [block for block in blocks(page("openstack"), "yaml") if marker in block]
    return found


@pytest.fixture
def set_policy(cloud: Cloud) -> Iterator[SetPolicy]:
    """Return what writes the policy.yaml of `nova` or `placement`; they are empty at the end."""

    def write(service: str, text: str) -> None:
        cloud.layout.path("etc", service, "policy.yaml").write_text(text)

    yield write
    for service in ("nova", "placement"):
        write(service, "{}")


@contextmanager
def role_of(cloud: Cloud, user: str, name: str) -> Iterator[None]:
    """Give a user a role that is made for it, until the block ends."""
    keystone: Any = cloud.operator.identity
    role = keystone.create_role(name=name)
    keystone.assign_project_role_to_user(
        keystone.find_project(USERS[user][0]), keystone.find_user(user), role
    )
    yield
    keystone.delete_role(role)


def test_a_role_of_ones_own_reads_all_with_the_lines_of_the_page(
    cloud: Cloud, set_policy: SetPolicy, tmp_path: Any
) -> None:
    """With these lines a reader with the role sees every host, a full one too, and the names."""
    cloud.aggregate("gold", "c1")
    for number in range(2):  # whose traits are in no summary, as the host is full
        cloud.boot(f"full-{number}", "c1")
    set_policy("placement", lines("placement:allocation_candidates:list"))
    nova_lines = lines("os_compute_api:os-hypervisors:list")
    set_policy("nova", nova_lines.replace("role:service", "role:queue-source"))
    assert "(refused)" in check_source(tmp_path, cloud.login_as("reader"), 2)
    with role_of(cloud, "reader", "queue-source"):
        answer = check_source(tmp_path, cloud.login_as("reader"), 0)
    assert "hosts: 4: c1, c2, c3, c4\n" in answer
    assert "gold (1)" in answer


def test_the_service_role_reads_all_with_two_lines(
    cloud: Cloud, set_policy: SetPolicy, tmp_path: Any
) -> None:
    """With two lines of Nova's policy the role `service` misses nothing."""
    assert "role admin" in check_source(tmp_path, cloud.login_as("service"), 1)
    set_policy("nova", lines("os_compute_api:os-hypervisors:list"))
    assert "missing" not in check_source(tmp_path, cloud.login_as("service"), 0)


def test_a_member_names_a_host_with_the_role_that_the_page_allows_it(
    cloud: Cloud, set_policy: SetPolicy
) -> None:
    """With the line a member needs the role to boot on a named host, and with the role it does."""
    set_policy("nova", lines("compute:servers:create:requested_destination"))
    with cloud.connect("alice") as alice, pytest.raises(ForbiddenException):
        cloud.boot("job", "c2", connection=alice)
    with role_of(cloud, "alice", "queue-client"), cloud.connect("alice") as alice:
        server = cloud.boot("job", "c2", connection=alice)
        assert cloud.operator.compute.get_server(server.id).compute_host == "c2"


def test_the_hold_follows_a_server_for_which_nova_chose_the_host(
    cloud: Cloud, broker: Broker, jobs: Jobs
) -> None:
    """A member boots without naming a host: its server counts where it runs; nothing stays held."""
    (host,) = jobs.granted("job")
    cloud.boot("other", host)  # so that Nova, which spreads, chooses another one
    with cloud.connect("alice") as alice:
        server = cloud.boot("job", connection=alice)
    broker.client.transition(TYPE, "job", "running", servers=[server.id])
    there = cloud.operator.compute.get_server(server.id).compute_host
    assert there != host
    broker.wait_for(lambda: (used(broker, there), held(broker, host)) == (2, 0), "it is seen there")
    assert free(broker, host) == 2
