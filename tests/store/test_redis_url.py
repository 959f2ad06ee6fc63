"""The URL of Redis: every way to run it, and what a wrong one is told."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis, RedisCluster, SSLConnection
from redis.asyncio.sentinel import SentinelConnectionPool, SentinelManagedSSLConnection

from rq_broker.domain.errors import Invalid
from rq_broker.store.connection import ask_another_sentinel, connect
from rq_broker.store.redis_private import cluster_node
from rq_broker.store.redis_url import has_password, parse


@pytest.mark.parametrize(
    ("url", "way", "addresses", "shown"),
    [
        ("redis://h", "", (("h", 6379),), "redis://h"),
        ("rediss://u:p@h:1/2?x=y", "", (("h", 1),), "rediss://h:1/2"),
        ("redis://[::1]:7/0", "", (("::1", 7),), "redis://[::1]:7/0"),
        ("unix:///run/redis.sock?db=1", "", (), "unix:///run/redis.sock"),
        ("redis+cluster://u:p@a:1,b", "cluster", (("a", 1), ("b", 6379)), "redis+cluster://a:1,b"),
        (
            "rediss+sentinel://u:p@a,[::1]:2/main/3",
            "sentinel",
            (("a", 26379), ("::1", 2)),
            "rediss+sentinel://a,[::1]:2/main/3",
        ),
    ],
)
def test_the_servers_of_a_url(
    url: str, way: str, addresses: tuple[tuple[str, int], ...], shown: str
) -> None:
    """Each way has its scheme and its default port, and no login is shown."""
    where = parse(url)
    assert (where.way, where.addresses, where.shown) == (way, addresses, shown)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://h", "--redis http://h must begin with one of redis, rediss, unix, redis+cluster"),
        ("redis://u:secret@h:99999", "--redis redis://h:99999 must have a port from 0 to 65535"),
        ("redis+cluster://a:1,b:x", "--redis redis+cluster://a:1,b:x must have a port"),
        ("redis://h/abc", "--redis redis://h/abc must end in the number of a database, or in none"),
        ("redis+sentinel://a:1", "must name the service that the Sentinels watch"),
        ("redis+sentinel://a:1/main/x", "must name the service that the Sentinels watch"),
        ("redis://u:a/secret@h", "--redis redis://h must "),
        ("redis://u:a?secret@h", "--redis redis://… must "),
        ("redis://u:secret#x@h", "--redis redis://… must "),
        ("redis:/u:secret@h", "--redis redis://h"),
        ("secret@h:1/0", "--redis h://"),
        ("u:secret@h:1/0", "--redis u://h:1/0 must begin with"),
    ],
)
def test_a_wrong_url_is_refused_without_its_login(url: str, sentence: str) -> None:
    """The sentence says what was wrong; a password never reaches the terminal."""
    with pytest.raises(Invalid) as refused:
        parse(url)
    assert sentence in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_client_of_sentinels_logs_in_at_both() -> None:
    """Login, database and TLS are for Redis, the sentinel_ options for the Sentinels."""
    client = connect(
        "rediss+sentinel://u:p%40@a:1,b:2/main/3?sentinel_password=x%26y&ssl_cert_reqs=none"
    )
    assert isinstance(client, Redis)
    pool = client.connection_pool
    assert isinstance(pool, SentinelConnectionPool)
    assert (pool.service_name, pool.connection_class) == ("main", SentinelManagedSSLConnection)
    options = {"username": "u", "password": "p@", "db": 3, "ssl_cert_reqs": "none"}
    assert options.items() <= pool.connection_kwargs.items()
    sentinels = pool.sentinel_manager.sentinels
    for sentinel, host in zip(sentinels, "ab", strict=True):
        kept = sentinel.connection_pool.connection_kwargs
        assert (kept["host"], kept["password"], kept["username"]) == (host, "x&y", None)
        assert sentinel.connection_pool.connection_class is SSLConnection
    first = sentinels[0]
    ask_another_sentinel(client)
    assert pool.sentinel_manager.sentinels[-1] is first


def test_a_client_of_a_cluster_starts_from_every_node_of_the_url() -> None:
    """Login and TLS hold for each node that it dials."""
    client = connect("rediss+cluster://u:p@127.0.0.1:1,127.0.0.2:2/?ssl_cert_reqs=none")
    assert isinstance(client, RedisCluster)
    nodes = {(node.host, node.port) for node in client.startup_nodes}
    assert nodes == {("127.0.0.1", 1), ("127.0.0.2", 2)}
    pool = cluster_node(client, "127.0.0.3", 3).connection_pool
    assert pool.connection_class is SSLConnection
    options = {"username": "u", "password": "p", "host": "127.0.0.3", "ssl_cert_reqs": "none"}
    assert options.items() <= pool.connection_kwargs.items()


@pytest.mark.parametrize(
    ("url", "has"),
    [
        ("redis://u:p@h", True),
        ("redis+cluster://:p@h,g/", True),
        ("redis+sentinel://h/main?sentinel_password=p", True),
        ("redis://u@h:1/0", False),
        ("unix:///run/a@b/redis.sock", False),
    ],
)
def test_a_password_is_noticed(url: str, has: bool) -> None:
    """A login with a password, and the password for Sentinels, are told from addresses."""
    assert has_password(url) is has
