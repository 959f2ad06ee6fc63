"""`rq-broker why`: why a job waits, for whom, and for how long."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from rq_broker.cli.connecting import with_client
from rq_broker.cli.verbs.arguments import JOB, JSON, OWNER, TYPE

if TYPE_CHECKING:
    from rq_broker.client import Client

MOST_NAMED = 10
"""Jobs or hosts that a sentence names before it counts the others."""
_HIDDEN = "a job of another owner"


@click.command()
@TYPE
@JOB
@OWNER
@JSON
@with_client
def why(client: Client, type_: str, request_id: str, owner_id: str, as_json: bool) -> None:
    """Say why a job waits, for whom, and when it starts."""
    from rq_broker.cli.output.objects import print_objects
    from rq_broker.cli.output.pairs import print_pairs
    from rq_broker.domain.errors import NotWaiting

    try:
        explanation = client.explain(type_, request_id, owner_id=owner_id)
    except NotWaiting:
        if as_json:
            raise
        job = client.read(type_, request_id, owner_id=owner_id)
        ending = f": {job['Error']}" if job.get("Error") else ""
        print_pairs([("status", f"{status_words(job)}{ending}")])
        return
    if as_json:
        print_objects([explanation])
    elif "position" in explanation:
        print_pairs(_waiting(explanation))
    else:
        offered = explanation["status"] == "granted"
        job = client.read(type_, request_id, owner_id=owner_id) if offered else {}
        print_pairs([*_holding(explanation), *_offer(job)])


def status_words(job: Mapping[str, Any]) -> str:
    """Return the status of a job, or how many jobs of an array have each."""
    if "Counts" not in job:
        return str(job["Status"])
    return ", ".join(f"{count} {status}" for status, count in job["Counts"].items() if count)


def _offer(job: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Tell until when a job without a callback must be taken, and how."""
    import shlex

    from rq_broker.cli.verbs.listing import left

    if job.get("Status") != "granted" or job.get("Callback"):
        return
    ends = job.get("OfferEnds")
    yield "offered", f"for {left(ends)} more; then the next job gets it" if ends else "without end"
    yield "to take it", shlex.join(["rq-broker", "take", job["Type"], job["RequestID"]])


def _waiting(why: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    from rq_broker.cli.output.need import amounts
    from rq_broker.cli.output.text import clock

    reason = why["reason"]
    yield "reason", reason["text"] if reason else "it fits, and is granted at once"
    yield "place", _place(why)
    yield "starts in", _start(why)
    for host, shortfalls in _grouped(why["shortfalls"][:MOST_NAMED], "host"):
        needed = amounts({each["resource"]: each["needed"] for each in shortfalls})
        free = amounts({each["resource"]: each["free"] for each in shortfalls})
        yield f"on {host[0]}", f"{needed} needed; {free} free"
    holders = _grouped(why["holders"], "request_id", "owner_id", "host")
    for _, held in holders[:MOST_NAMED]:
        yield "held by", _holder(held)
    if len(holders) > MOST_NAMED:
        yield "held by", f"{len(holders) - MOST_NAMED} more"
    for host, used in _grouped(why["used_by_others"], "host")[:MOST_NAMED]:
        parts = amounts({each["resource"]: each["amount"] for each in used})
        yield "used by others", f"{parts} on {host[0]}, by no job of this type"
    if reservation := why["reservation"]:
        awaited = [job["request_id"] or _HIDDEN for job in reservation["waits_for"][:MOST_NAMED]]
        behind = f", when {', '.join(awaited)} ended" if awaited else ""
        yield "reserved from", f"{clock(reservation['start'])}{behind}"
    if why["passed_by"] or why["passed_by_others"]:
        yield "passed by", _passers(why)
    if part := _would_fit(why):
        yield "would fit now", part


def _would_fit(why: Mapping[str, Any]) -> str:
    """Say how much of the job there is capacity for; '' where that is none, or not in question."""
    from rq_broker.cli.output.need import need

    largest = why["largest"]
    if largest is None:
        waits_for_room = not why["hosts"] or why["shortfalls"]
        is_held_back = why["reason"] and not waits_for_room
        return "all of it; only what the reason says holds it back" if is_held_back else ""
    parts = []
    if largest["instances"]:
        parts.append(f"the first {largest['instances']} of its instances")
    if largest["scaled"]:
        parts.append(f"{need({'instances': largest['scaled']})}, {largest['percent']} % of it")
    return ", or ".join(parts)


def _place(why: Mapping[str, Any]) -> str:
    if why["position"] is None:
        return "beside the line, until its own terms are met"
    before = why["jobs_of_its_shape_before"]
    alike = f"; {before} of those before it need the same" if before else ""
    return f"{why['position']} in line{alike}"


def _start(why: Mapping[str, Any]) -> str:
    from rq_broker.cli.verbs.listing import eta_words

    eta, accuracy = why["eta"], why["eta_accuracy"]
    if eta["p50"] is None:
        is_never = (eta.get("why") or {}).get("code") == "impossible"
        return f"{'never' if is_never else 'not known'}: {eta['reason']}"
    told = accuracy["within_p90"] + accuracy["beyond_p90"]
    kept = f" (of {told} forecasts {accuracy['within_p90']} were kept)" if told else ""
    return f"{eta_words(eta)}{kept}"


def _grouped(
    parts: Sequence[Mapping[str, Any]], *names: str
) -> list[tuple[tuple[Any, ...], list[Mapping[str, Any]]]]:
    """Return the parts that have the same of these names together, in their order."""
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for part in parts:
        groups.setdefault(tuple(part[name] for name in names), []).append(part)
    return list(groups.items())


def _holder(held: Sequence[Mapping[str, Any]]) -> str:
    """Say what one job holds on one host."""
    from rq_broker.cli.output.need import amounts
    from rq_broker.cli.output.text import span

    first = held[0]
    name = first["request_id"] or _HIDDEN
    owner = f" of {first['owner_id']}" if first["owner_id"] else ""
    parts = amounts({each["resource"]: each["amount"] for each in held})
    overdue = ", longer than it said" if first["overdue"] else ""
    return f"{name}{owner}: {parts} on {first['host']}, for {span(first['seconds'])}{overdue}"


def _passers(why: Mapping[str, Any]) -> str:
    from rq_broker.cli.output.text import clock

    named = why["passed_by"][:MOST_NAMED]
    others = why["passed_by_others"] + len(why["passed_by"]) - len(named)
    words = [*named, *([f"{others} others"] if others else [])]
    since = f", since {clock(why['passed_since'])}" if why["passed_since"] else ""
    return ", ".join(words) + since


def _holding(hold: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Tell of a granted or running job what has become of its grant."""
    from rq_broker.cli.output.need import amounts

    yield "status", hold["status"]
    yield "reason", hold["reason"]["text"] if hold["reason"] else "it holds all that it was granted"
    for name in ("held", "seen", "unheld"):
        for host, parts in hold[name].items():
            yield f"{name} on {host}", amounts(parts)
    if hold["servers"]:
        yield "servers", ", ".join(hold["servers"])
    if hold["unseen_servers"]:
        yield "not seen yet", ", ".join(hold["unseen_servers"])
