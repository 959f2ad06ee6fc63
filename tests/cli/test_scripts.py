"""`rq-broker scripts`: what services in other languages read."""

from __future__ import annotations

from redis import Redis

from rq_broker.store.embedded import Server
from rq_broker.store.scripts import SCRIPTS
from tests.cli.running import invoke


def test_scripts_prints_every_contract_and_its_sha() -> None:
    """For each verb it prints the name, the SHA that Redis computes, and the contract."""
    result = invoke("scripts")
    assert result.exit_code == 0
    for script in SCRIPTS.values():
        assert f"{script.name} {script.sha}\n{script.header}" in result.output


def test_scripts_prints_a_source_that_redis_takes(redis_server: Server) -> None:
    """The source of one verb is complete, includes and all, and hashes to the SHA printed."""
    with Redis.from_url(redis_server.url, decode_responses=True) as client:
        for verb, script in SCRIPTS.items():
            result = invoke("scripts", verb)
            assert result.exit_code == 0
            assert client.script_load(result.stdout_bytes) == script.sha
