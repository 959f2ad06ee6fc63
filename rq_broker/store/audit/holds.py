"""Checks what a job holds, and adds it to the sums that hosts and owners are compared with."""

from __future__ import annotations

from functools import lru_cache

import orjson

from rq_broker.domain.devices import device_name, is_device, resource_of
from rq_broker.domain.jobs import HOLDING, Shape
from rq_broker.domain.status_words import in_words
from rq_broker.store import device_records
from rq_broker.store.audit.findings import list_amounts
from rq_broker.store.audit.walk import ListedJob, Walk


@lru_cache(maxsize=10_000)
def _allows(demand: str, alternative: str, count: int) -> bool:
    """Return whether a demand allows a grant of this size; many jobs have the same.

    Raises ValueError if it cannot be read.
    """
    wanted = Shape.parse(demand).demand
    try:
        wanted.granted(int(alternative), count)
    except ValueError:
        return False
    return True


def check_holds(walk: Walk, job: ListedJob) -> None:
    """Check the holds of one job. Raises ValueError or KeyError if they cannot be read.

    What of its grant a source counts as used (seen), and what is neither held nor used (unheld),
    counts for the owner's usage, and not for what the host has as held.
    """
    holds, seen, unheld = job.row.holds, job.row.seen, job.row.unheld
    names = orjson.loads(job.fields.get("hosts", "[]"))
    hosts = set(names)
    if job.status not in HOLDING:
        state = f"is {in_words(job.status)}"
        walk.check(not holds, job.subject, f"{state} but holds {list_amounts(holds)}")
        counted = f"a source counts {list_amounts(seen)} as its use"
        walk.check(not seen, job.subject, f"{state} but {counted}")
        walk.check(not unheld, job.subject, f"{state} but {list_amounts(unheld)} of it is unheld")
        walk.check(not hosts, job.subject, f"{state} but names hosts")
        walk.check("devices" not in job.fields, job.subject, f"{state} but names devices")
        walk.check("predicted" not in job.fields, job.subject, f"{state} but has a prediction")
        walk.check("alternative" not in job.fields, job.subject, f"{state} but has an alternative")
    elif names:
        allowed = _allows(job.fields["demand"], job.fields.get("alternative", "0"), len(names))
        text = f"holds {len(names)} instances, which its demand does not allow"
        walk.check(allowed, job.subject, text)
    listed = "unheld" in job.row.indexes
    text = f"is {'' if listed else 'not '}listed in unheld but {list_amounts(unheld)} of it is"
    walk.check(listed == bool(unheld), job.subject, text)
    if job.member in walk.tally.holders or not (holds or seen or unheld):
        return
    walk.tally.holders.add(job.member)
    fence = int(job.fields.get("fence", 0))
    other = walk.tally.member_by_fence.setdefault(fence, job.member)
    walk.check(other == job.member, job.subject, f"holds under the fence {fence}, as does {other}")
    named = _named_devices(job)
    for place, amount in holds.items():
        host, _, resource = place.partition("/")
        walk.check(host in hosts, job.subject, f"holds on {host}, which its hash does not name")
        known = not is_device(resource) or place in named
        walk.check(known, job.subject, f"holds {place}, a device that its hash does not name")
        walk.tally.held[host][resource] += int(amount)
    for place, amount in [*holds.items(), *seen.items(), *unheld.items()]:
        resource = resource_of(place.partition("/")[2])
        walk.tally.usage[f"{resource}/{job.fields['owner']}"] += int(amount)


def _named_devices(job: ListedJob) -> set[str]:
    """Return <host>/<device> of each device that the hash of a job names."""
    choices = device_records.choices(job.fields.get("devices", ""))
    if not choices:
        return set()
    hosts = orjson.loads(job.fields.get("hosts", "[]"))
    return {
        f"{host}/{device_name(resource, number)}"
        for host, choice in zip(hosts, choices, strict=True)
        for resource, numbers in choice.items()
        for number in numbers
    }
