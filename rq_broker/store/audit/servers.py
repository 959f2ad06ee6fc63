"""Checks that each server is one running job's, and that the index says so."""

from __future__ import annotations

from rq_broker.domain.jobs import Status
from rq_broker.domain.status_words import in_words
from rq_broker.store.audit.walk import ListedJob, Walk


def count_servers(walk: Walk, job: ListedJob) -> None:
    """Add the servers of a job to the tally; only a running job has some, and no other has them."""
    servers = job.fields.get("servers", "").split()
    if servers and job.status is not Status.RUNNING:
        walk.fault(job.subject, f"is {in_words(job.status)} but has servers")
        return
    for server in servers:
        other = walk.tally.servers.setdefault(server, job.member)
        text = f"names server {server}, as does {other}"
        walk.check(other == job.member, job.subject, text)


async def check_servers(walk: Walk) -> None:
    """Compare the index of servers with the jobs."""
    named = {server: member[17:] for server, member in walk.tally.servers.items()}
    indexed = dict(await walk.entries("servers", "HSCAN"))
    for server, member in walk.tally.servers.items():
        other = f"job {indexed[server]}" if server in indexed else "no job"
        text = f"names server {server}, which the index gives to {other}"
        walk.check(indexed.get(server) == named[server], f"job {member}", text)
    for server in indexed.keys() - named.keys():
        text = f"is given to job {indexed[server]}, which does not run as it"
        walk.fault(f"server {server}", text)
