"""The servers that jobs name, and what becomes of a hold when they come and go."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from uuid import uuid4

import pytest
from openstack_cloud import Cloud
from openstack_cloud.broker import TYPE, Broker

from rq_broker.domain.errors import DuplicateServer, InvalidServer
from tests.openstack.jobs import Jobs, free, held, used

SPELLINGS: Mapping[str, Callable[[str], str]] = {
    "upper case": str.upper,
    "without dashes": lambda uuid: uuid.replace("-", ""),
    "braces": "{{{}}}".format,
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_server_is_matched_however_it_is_spelled(
    spelling: str, cloud: Cloud, broker: Broker, jobs: Jobs
) -> None:
    """A UUID in upper case, without dashes or in braces ends the hold like any other."""
    (host,) = jobs.granted("job")
    server = cloud.boot("job", host)
    broker.client.transition(TYPE, "job", "running", servers=[SPELLINGS[spelling](server.id)])
    broker.wait_for(lambda: (held(broker, host), used(broker, host)) == (0, 2), "the server seen")


def test_a_server_that_is_no_uuid_is_refused(broker: Broker, jobs: Jobs) -> None:
    """The name of a server is refused: Placement does not know it."""
    (host,) = jobs.granted("job")
    with pytest.raises(InvalidServer):
        broker.client.transition(TYPE, "job", "running", servers=["web-1"])
    assert held(broker, host) == 2


def test_a_server_that_is_never_seen_is_told(broker: Broker, jobs: Jobs) -> None:
    """A UUID that no snapshot shows is told in `explain` after a minute, and stays held."""
    (host,) = jobs.granted("job")
    unknown = str(uuid4())
    broker.client.transition(TYPE, "job", "running", servers=[unknown])
    broker.wait_for(lambda: unknown in broker.explain("job")["unseen_servers"], "it is unseen")
    broker.wait_for(lambda: bool(broker.explain("job").get("reason")), "it is told", 150)
    assert unknown in str(broker.explain("job")["reason"])
    assert held(broker, host) == 2


def test_two_jobs_may_not_name_one_server(cloud: Cloud, broker: Broker, jobs: Jobs) -> None:
    """The second job that names a server is refused, and keeps its hold."""
    (first,), (second,) = jobs.granted("first"), jobs.granted("second")
    server = cloud.boot("first", first)
    broker.client.transition(TYPE, "first", "running", servers=[server.id])
    with pytest.raises(DuplicateServer):
        broker.client.transition(TYPE, "second", "running", servers=[server.id])
    broker.wait_for(lambda: used(broker, first) == 2, "the server seen")
    broker.wait_for(
        lambda: sum(held(broker, host) for host in broker.hosts()) == 2, "one hold is left"
    )
    assert held(broker, second) == 2


def test_a_hold_that_cannot_be_kept_is_told(cloud: Cloud, broker: Broker, jobs: Jobs) -> None:
    """If others fill a host before a deleted server's hold is back, the client is told, and the
    hold comes back once there is room."""
    (host,) = jobs.granted("job")
    first = cloud.boot("job", host)
    broker.client.transition(TYPE, "job", "running", servers=[first.id])
    broker.wait_for(lambda: (held(broker, host), used(broker, host)) == (0, 2), "the server seen")
    # The other tenant's server fills the host while the job's moves away.
    other = cloud.boot("other", host)
    broker.wait_for(lambda: free(broker, host) == 0, "the host full")
    away = next(name for name in cloud.hosts if name != host)
    cloud.move(first, away)
    third = cloud.boot("third", host)
    broker.wait_for(lambda: used(broker, host) == 4, "the host full of others")
    cloud.delete(first)
    broker.wait_for(lambda: "hold_lost" in str(broker.explain("job")["reason"]), "it is told")
    assert (held(broker, host), free(broker, host)) == (0, 0)
    assert "Warning" in broker.client.read(TYPE, "job")
    cloud.delete(other, third)
    broker.wait_for(lambda: held(broker, host) == 2, "the hold back")


def test_a_moved_server_frees_what_was_granted(cloud: Cloud, broker: Broker, jobs: Jobs) -> None:
    """A live migration moves a server's usage, and nothing is held beside it."""
    (host,) = jobs.granted("job")
    server = cloud.boot("job", host)
    broker.client.transition(TYPE, "job", "running", servers=[server.id])
    broker.wait_for(lambda: (held(broker, host), used(broker, host)) == (0, 2), "the server seen")
    away = next(name for name in cloud.hosts if name != host)
    cloud.move(server, away)
    broker.wait_for(lambda: (used(broker, host), used(broker, away)) == (0, 2), "the move seen")
    assert sum(held(broker, name) for name in broker.hosts()) == 0
