"""`rq-broker audit`: what it prints, and its exit code."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from redis import Redis

from rq_broker.domain.jobs import Status
from rq_broker.store.audit import Checkpoint, audit
from rq_broker.store.audit.walk import Walk
from rq_broker.store.broker import Broker
from rq_broker.store.connection import connect
from rq_broker.store.embedded import Server
from tests.cli.running import invoke
from tests.making import TYPE, bring
from tests.metrics import parse


@pytest.fixture
def url(redis_server: Server) -> str:
    """A store with a job in every status."""

    async def fill() -> None:
        async with connect(redis_server.url) as client:
            await client.flushall()
            for status in Status:
                await bring(Broker(client), status, f"{status}")

    asyncio.run(fill())
    return redis_server.url


def test_a_consistent_store_is_clean(url: str) -> None:
    """Without findings it prints one word and exits with 0."""
    result = invoke("audit", "--redis", url)
    assert (result.output, result.exit_code) == ("clean\n", 0)


def test_its_result_is_written_for_prometheus(url: str, tmp_path: Path) -> None:
    """The file has how many faults there are, and when that was; a run that cannot write ends."""
    path = tmp_path / "audit.prom"
    for faults in (0, 1):
        assert invoke("audit", "--redis", url, "--metrics-file", str(path)).exit_code == faults
        scrape = parse(path.read_text())
        assert scrape.value("rq_broker_audit_faults") == faults
        assert scrape.value("rq_broker_audit_timestamp_seconds") > 1.7e9
        with Redis.from_url(url) as client:
            client.sadd(f"rqb:{{{TYPE}}}:own_priority", "0000000000000099:ghost")
    result = invoke("audit", "--redis", url, "--metrics-file", str(tmp_path / "none" / "x"))
    assert result.exit_code == 1
    assert "--metrics-file" in result.output


def test_a_fault_is_printed_and_sets_the_exit_code(url: str) -> None:
    """A contradiction is printed with its type, for people, and exits with 1, for cron."""
    with Redis.from_url(url) as client:
        client.zadd(f"rqb:{{{TYPE}}}:status:done", {"0000000000000099:ghost": 1})
    result = invoke("audit", "--redis", url)
    assert result.exit_code == 1
    assert f"{TYPE}: fault: " in result.output
    assert "ghost" in result.output
    with Redis.from_url(url) as client:
        client.sadd("rqb:types", "kube")
    assert invoke("audit", "--redis", url, "--type", "kube").exit_code == 0


def test_a_misspelt_type_is_not_clean(url: str) -> None:
    """A type that is not there is a wrong use, before anything is checked."""
    result = invoke("audit", "--redis", url, "--type", TYPE, "--type", "NOPE")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "there is no type NOPE" in result.stderr


def test_a_note_is_printed_as_a_note(url: str) -> None:
    """A finding that is allowed is printed, and is no fault."""
    with Redis.from_url(url) as client:
        client.hset(f"rqb:{{{TYPE}}}:host:h1", "capacity:VCPU", 0)
    result = invoke("audit", "--redis", url)
    assert f"{TYPE}: note: host h1" in result.output
    assert result.output.endswith("\nclean, but for the notes above\n")


@pytest.mark.parametrize("scheme", ["redis", "redis+cluster"])
def test_an_audit_without_redis_says_so(tmp_path: Path, scheme: str) -> None:
    """A store that does not answer is reported in a sentence, with a status of its own."""
    server = Server(tmp_path)
    server.start()
    server.stop()
    result = invoke("audit", "--redis", f"{scheme}://127.0.0.1:{server.port}")
    assert result.exit_code == 3
    assert "Error: Redis does not answer" in result.output


def test_a_sample_checks_some_jobs(url: str) -> None:
    """A sample as large as the type finds what is wrong with a job, and no fault of an index."""
    with Redis.from_url(url) as client:
        client.zadd(f"rqb:{{{TYPE}}}:status:done", {"0000000000000099:ghost": 1})
        client.zadd(f"rqb:{{{TYPE}}}:deadlines", {"0000000000000098:stray": 1})
    result = invoke("audit", "--redis", url, "--sample", "100")
    assert result.exit_code == 1
    assert "ghost" in result.output
    assert "stray" not in result.output


def test_an_audit_goes_on_where_another_stopped(url: str, tmp_path: Path) -> None:
    """With a position, jobs before it are not read again, and what was found there is kept."""
    position = tmp_path / "audit.json"
    with Redis.from_url(url) as client:
        client.delete(f"rqb:{{{TYPE}}}:job:queued")
    asyncio.run(_cut_off(url, position))
    assert position.exists()
    result = invoke("audit", "--redis", url, "--resume", str(position))
    assert result.exit_code == 1
    assert "is listed as queued but has no hash" in result.output
    assert not position.exists()
    position.write_text("[]")
    assert invoke("audit", "--redis", url, "--resume", str(position)).exit_code == 1


async def _cut_off(url: str, position: Path) -> None:
    """Audit until the running jobs are read, as a process that ends there."""

    class CutOff(Exception):
        pass

    class Noting(Checkpoint):
        def note(self, walk: Walk, status: str, after: tuple[str, str]) -> None:
            self._saved_at = float("-inf")
            super().note(walk, status, after)
            if status is Status.RUNNING:
                raise CutOff

    async with connect(url) as client:
        with pytest.raises(CutOff):
            await audit(client, TYPE, checkpoint=Noting(position))


def test_a_repair_mends_what_is_found(url: str) -> None:
    """With --repair the contradiction is printed, mended, and gone in the next audit; the audit log
    says who repaired what."""
    with Redis.from_url(url) as client:
        client.zadd(f"rqb:{{{TYPE}}}:status:done", {"0000000000000099:ghost": 1})
    result = invoke("audit", "--redis", url, "--repair")
    assert "ghost" in result.output
    assert f"{TYPE}: repaired" in result.output
    assert result.exit_code == 0
    assert invoke("audit", "--redis", url).output == "clean\n"
    lines = invoke("log", "--redis", url, "--type", TYPE, "--json").output.splitlines()
    made = [line for line in map(json.loads, lines) if line["who"].startswith("cli:")]
    assert [(line["verb"], line["subject"], line["after"]) for line in made] == [
        ("repair_job", "ghost", None),
        ("repair_type", TYPE, {"changed": 0}),
    ]


@pytest.mark.parametrize("lost", ["queued", "running", "granted"])
def test_one_run_of_repair_is_enough(url: str, lost: str) -> None:
    """A job whose hash is gone is in many indexes, which one repair after the other uncovers."""
    with Redis.from_url(url) as client:
        client.delete(f"rqb:{{{TYPE}}}:job:{lost}")
    result = invoke("audit", "--redis", url, "--repair")
    assert result.exit_code == 0, result.output
    assert invoke("audit", "--redis", url).output == "clean\n"


def test_what_no_repair_can_mend_ends_the_run(url: str) -> None:
    """A time that nobody knows stays damaged, is printed once more, and is an exit status."""
    with Redis.from_url(url) as client:
        client.hset(f"rqb:{{{TYPE}}}:job:running", "created", "damaged")
    result = invoke("audit", "--redis", url, "--repair")
    assert result.exit_code == 1
    assert result.output.count("running cannot be read") == 2
