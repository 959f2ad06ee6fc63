"""Checks hosts, owners' usage and the counters against what the jobs add up to."""

from __future__ import annotations

from collections import Counter

from rq_broker.store import device_records, records
from rq_broker.store.audit.findings import list_amounts
from rq_broker.store.audit.walk import Walk


async def check_hosts(walk: Walk, before: dict[str, float]) -> None:
    """Check what hosts and owners have.

    `before`: host → number of its last change, as the walk began. A host that changed since is not
    compared with the sums, and usage only if no host changed.
    """
    listed = dict(await walk.entries("hosts"))
    hashes = {
        name: records.pairs(await walk.client.hgetall(walk.keys.of("host", name)))
        for name in listed
    }
    held = walk.tally.held
    for entry, _ in await walk.entries("parting"):  # released by jobs, and not yet by the hosts
        _, amount, place = entry.split(":", 2)
        host, _, resource = place.partition("/")
        held[host][resource] += int(amount)
    entries = await walk.entries("usage", "HSCAN")
    usage = Counter({field: int(amount) for field, amount in entries})
    after = dict(await walk.entries("hosts"))
    for name, fields in hashes.items():
        _check_host(walk, name, fields, unchanged=before.get(name) == after.get(name))
    if before == after:
        for name in held.keys() - after.keys():
            walk.fault(f"host {name}", "is not listed in hosts but jobs hold capacity on it")
        _check_usage(walk, usage)
    await _check_past_usage(walk)


def _check_host(walk: Walk, name: str, fields: dict[str, str], *, unchanged: bool) -> None:
    subject = f"host {name}"
    try:
        host = records.host(name, fields)
    except (ValueError, KeyError) as error:
        walk.fault(subject, f"cannot be read: {error!r}")
        return
    if not unchanged:
        return
    walk.check(bool(fields), subject, "is listed in hosts but has no hash")
    empty = host.dropped and not host.held
    walk.check(not empty, subject, "is out of service and holds nothing but was not deleted")
    held = dict(walk.tally.held[name])
    recorded = device_records.stored_held(host)
    text = f"has {list_amounts(recorded)} held but its jobs hold {list_amounts(held)}"
    walk.check(recorded == held, subject, text)
    free = host.free | host.device_free
    over = ", ".join(sorted(name for name, amount in free.items() if amount < 0))
    if over:
        walk.note(subject, f"is overcommitted in {over}: it shrank, or more of it is used")


def _check_usage(walk: Walk, usage: Counter[str]) -> None:
    for field in usage.keys() | walk.tally.usage.keys():
        recorded, summed = usage[field], walk.tally.usage[field]
        text = f"is {recorded} but the jobs hold {summed}"
        walk.check(recorded == summed, f"usage {field}", text)


async def _check_past_usage(walk: Walk) -> None:
    """Check that what owners used can be read, and is kept only while the policy shares."""
    entries = dict(await walk.entries("past_usage", "HSCAN"))
    shares = await walk.client.hget(walk.keys.base, "policy:share")
    walk.check(
        bool(shares) or not entries, "past_usage", "is kept though the policy does not share"
    )
    for field, text in entries.items():
        try:
            records.past_usage({field: text})
        except ValueError as error:
            walk.fault(f"past usage {field}", f"cannot be read: {error!r}")


async def check_counters(walk: Walk) -> None:
    """Check that no counter of the base hash is below a number that is in use."""
    highest = walk.tally.highest
    changes = [int(number) for _, number in await walk.entries("hosts")]
    highest["hosts"] = max(changes, default=0)
    names = ["id", "fence", "hosts"]
    values = await walk.client.hmget(walk.keys.base, names)
    for name, value in zip(names, values, strict=True):
        ahead = int(value or 0) >= highest[name]
        walk.check(ahead, f"counter {name}", f"is {value} but {highest[name]} is in use")
