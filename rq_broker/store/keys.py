"""Every Redis key in one place: the contract (version 1) that trusted services may rely on.

All keys of one type share the hash tag `{<type>}`, so one type lives in one Cluster slot and types
spread over the nodes. Scripts take KEYS[1] = base and derive the rest, all in that slot.

| key                      | type   | holds |
|--------------------------|--------|-------|
| `rqb:types`              | set    | type names; a hint for readers, rebuilt on use |
| `rqb:{<type>}`           | hash   | the base: `id`, `clock`, `fence`, `hosts`, `policy:…` |
| `…:status:<status>`      | zset   | member → priority; `:status:queued` is *the* queue |
| `…:owner:<owner_id>`     | zset   | member → priority, every status |
| `…:shape:<digest>`       | zset   | member → priority, queued jobs of one shape |
| `…:shapes`               | hash   | digest → what it stands for, JSON, while it has queued jobs |
| `…:heads`                | zset   | digest → priority of the shape's first job |
| `…:job:<request_id>`     | hash   | the job, see below |
| `…:holds:<request_id>`   | hash   | `<host>/<resource>` → amount: what the job's grant holds |
| `…:callbacks:<2 chars>`  | hash   | rest of the callback's digest → request_id |
| `…:seen:<request_id>`    | hash   | the same, of what a source's `used` shows of it instead |
| `…:parting`              | zset   | `<fence>:<amount>:<host>/<resource>` → when let go, ms |
| `…:usage`                | hash   | `<resource>/<owner_id>` → amount: what each owner has |
| `…:hosts`                | zset   | host → number of its last change (base `hosts`) |
| `…:host:<name>`          | hash   | `capacity:…`, `used:…`, `held:…`, `max_unit:…`, |
|                          |        | `aggregates`, `dropped`, `source` |
| `…:sources`              | set    | names of the sources that report hosts |
| `…:source:<name>`        | hash   | `begun` (ms) of its last snapshot, `cause` … |
| `…:deliveries`           | zset   | member → when its callback is next due, ms; an hour |
|                          |        | less where it is the first, to who does not fail |
| `…:prompt`               | zset   | the same, to destinations known to answer promptly |
| `…:attempts:<request_id>` | stream | what came of each attempt to call back, newest ~100 |
| `…:destinations`         | zset   | scheme://host:port of callbacks → last grant or trouble, ms |
| `…:destination:<d>`      | hash   | its breaker, see lua/lib/destination.lua |
| `…:flying:<d>`           | zset   | member → end of the lease: callbacks on their way there |
| `…:parked:<d>`           | zset   | member → since when (ms) it waits for a slot there |
| `…:parked`, `…:open`     | zset   | destination → when to look again; end of being open, ms |
| `…:failing`, `…:answering` | zset | destination → its last failure, its last answer, ms |
| `…:turned`               | zset   | those of failing that answered a minute before |
| `…:keys`                 | hash   | owner_id or `*` → keys its callbacks are signed with |
| `…:deadlines`            | zset   | member → end of the offer, of running time, of retention, ms |
| `…:passed`               | hash   | member → when a later job first passed it, ms |
| `…:forecasts`            | hash   | member → the p90 ETA a waiting job was first told, ms |
| `…:history`              | list   | how long capacity was held, ms, newest 1,000 |
| `…:turn:plan`            | string | term and name of who plans now; `:again`: others asked since |
| `…:turn:source:<name>`   | string | the same of who polls a source |
| `…:wake`                 | zset   | markers `grant` and `deliver`: hints that a loop has work |
| `…:events`               | stream | every change of state, newest ~10,000 |

A **member** is the ID in 16 digits, `:`, the request_id. Ties in a sorted set are ordered by
member, so equal priorities are first come, first served; and a reader of the set alone can name
the job.

A **job** hash has `id`, `owner`, `status`, `shape`, `created` (µs since 1970), `callback`, `data`
and, once they mean something, `updated` (µs), `hosts` (JSON, one name an instance), `fence`,
`attempts`, `released`, `settled`, `error`, `granted` and `offer_ends` (ms), `destination`,
`servers`, and out of line `demand`, what its shape stands for. Its priority is the score of its
member in `…:status:<status>`: said once, it cannot disagree with itself.

Why a long `data` or `callback` is *folded* into `data`, `data2`, `data3` …: one value over 64 bytes
moves a Redis hash out of its compact encoding, which costs every waiting job some 380 bytes. Up to
`FOLD_LIMIT` bytes a value is therefore stored in pieces of at most 64; a reader joins them. Longer
ones stay whole, there the overhead no longer matters. For the same reason callbacks are indexed by
digest in 4,096 small hashes instead of one large one.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Mapping
from hashlib import sha256
from itertools import count

TYPES = "rqb:types"
ID_DIGITS = 16
"""Digits of the ID in a member: enough for 2^53, so that members sort by ID."""
FOLD = 64
FOLD_LIMIT = 512


class Keys:
    """The keys of one type."""

    __slots__ = ("base",)

    def __init__(self, type_: str) -> None:
        self.base = f"rqb:{{{type_}}}"

    def of(self, *parts: str) -> str:
        """`of("job", "d")` → `rqb:{vm}:job:d`."""
        return ":".join((self.base, *parts))


def member(id_: int, request_id: str) -> str:
    """Build the name a job has in every sorted set: `member(7, "d")` → `0000000000000007:d`."""
    return f"{id_:0{ID_DIGITS}d}:{request_id}"


def job_of(member: str) -> tuple[int, str]:
    """Read a job's ID and request_id back out of a member."""
    return int(member[:ID_DIGITS]), member[ID_DIGITS + 1 :]


def digest(text: str) -> str:
    """96 bits of SHA-256 as 16 URL-safe characters: names shapes and callbacks."""
    return urlsafe_b64encode(sha256(text.encode()).digest()[:12]).decode()


def fold(field: str, text: str) -> list[str]:
    """Split a value into the field/value pairs it is stored as, each piece at most 64 bytes."""
    if text.isascii():
        if len(text) <= FOLD or len(text) > FOLD_LIMIT:
            return [field, text]
        pairs = [field, text[:FOLD]]
        for number, start in enumerate(range(FOLD, len(text), FOLD), 2):
            pairs += (f"{field}{number}", text[start : start + FOLD])
        return pairs
    if not FOLD < len(text.encode()) <= FOLD_LIMIT:
        return [field, text]
    pairs, piece = [], ""
    names = (field if number == 1 else f"{field}{number}" for number in count(1))
    for letter in text:
        if len((piece + letter).encode()) > FOLD:
            pairs += (next(names), piece)
            piece = ""
        piece += letter
    return [*pairs, next(names), piece]


def unfold(fields: Mapping[str, str], field: str) -> str:
    """Join what `fold` split."""
    text = fields.get(field, "")
    for number in count(2):
        more = fields.get(f"{field}{number}")
        if more is None:
            return text
        text += more
    raise AssertionError
