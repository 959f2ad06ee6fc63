"""Every Redis key in one place: the contract (version 4) that trusted services may rely on.

All keys of one type share the hash tag `{<type>}`: a type lives in one slot of a Redis Cluster, and
types spread over its nodes. A script takes the base as its one key and derives the others from it.
What belongs to no type has the base `rqb:{/}`; no type has this name.
In the table, … stands for the base. Times are ms since 1970 by the type's clock (lua/lib/clock)
where nothing else is said.

| key                        | type   | holds |
|----------------------------|--------|-------|
| `rqb:types`                | set    | the names of types; a hint for readers, rebuilt on use |
| `rqb:notifiers`            | hash   | notifier → when it last `reported`, the options for its |
|                            |        | `callbacks`, and its `types` (none: |
|                            |        | every type), JSON; each notifier reports every second. |
|                            |        | Field `''`: when the last that is gone `left`, and what it |
|                            |        | `served` |
| `rqb:{/}:token:<id>`       | hash   | what a token proves: `name`, `role`, `digest`, `owners`, |
|                            |        | `types`, `callback_hosts` (JSON; absent: no limit), |
|                            |        | `created`, `expires`, `ended`; gone 30 days after its end |
| `rqb:{/}:tokens`           | zset   | id of a token → when its record goes, `inf` for never |
| `rqb:{/}:token_name:<name>` | string | ids of the tokens of this name that were not revoked, the |
|                            |        | newest first |
| `rqb:{/}:session:<id>`     | hash   | who has signed in: `name`, `way`, `digest`, `created`, |
|                            |        | `ends`, and `token` (its digest), `sealed` (a credential) |
|                            |        | or `role`, `owners`, `types`, `callback_hosts`; gone when |
|                            |        | it idles |
| `rqb:{/}:sessions:<name>`  | zset   | id of a session of this identity → when it ends |
| `rqb:{/}:audit`            | stream | who changed what belongs to no type |
| `rqb:{/}:rate:<name>`      | string | requests that an identity, owner or address may make, and |
|                            |        | when that was, µs; gone when its bucket is full |
| `rqb:{<type>}`             | hash   | the base: `id`, `clock`, `fence`, `hosts`, `policy:…`, |
|                            |        | counts (`wait:…`, `forecasts_…`, `offers_missed`), |
|                            |        | `promises`, `kept`, `recount:<status>`, `clock_…`,     |
|                            |        | `shifts` (see lua/lib/line_version), |
|                            |        | `incarnation`, `audit_ends`, `last_event` that was deleted |
|                            |        | with the type, `policy_number` and which of them was |
|                            |        | dropped, `policy_dropped`; `dropped` until both logs have |
|                            |        | the line of a drop |
| `…:status:<status>`        | zset   | member → priority; `…:status:queued` is the queue |
| `…:owner:<owner_id>`       | zset   | member → priority, jobs of every status |
| `…:shape:<digest>`         | zset   | member → priority, queued jobs of one shape |
| `…:shapes`                 | hash   | digest → what the shape stands for, JSON, while jobs wait |
| `…:heads`                  | zset   | digest → priority of the shape's first job |
| `…:job:<request_id>`       | hash   | the job, see below |
| `…:holds:<request_id>`     | hash   | `<host>/<resource>` → amount that the job's grant holds |
| `…:seen:<request_id>`      | hash   | `<host>/<resource>` → amount of the grant that the source |
|                            |        | of the host counts as `used`: it is held no longer |
| `…:unheld:<request_id>`    | hash   | `<host>/<resource>` → amount of the grant that is neither |
|                            |        | held nor used: others filled the host meanwhile |
| `…:unheld`                 | zset   | member → since when some of its grant is unheld |
| `…:servers`                | hash   | server → request_id of the running job that named it |
| `…:callbacks:<2 chars>`    | hash   | rest of the callback's digest → request_id |
| `…:submit_keys:<2 chars>`  | hash   | rest of the digest of a submit's owner and idempotency |
|                            |        | key → request_id |
| `…:withdrawn`              | zset   | request_id, and `<owner_id>/<request_id>` → when its job |
|                            |        | was withdrawn; newest 10,000 jobs, for a day, until |
|                            |        | another job takes the name |
| `…:withdrawals`            | zset   | digest of a request_id, the owners of who withdrew it, and |
|                            |        | the idempotency key → when; newest 10,000, for a day |
| `…:parting`                | zset   | `<fence>:<amount>:<host>/<resource>` → when it was |
|                            |        | released; it stays held until the source's next snapshot |
| `…:usage`                  | hash   | `<resource>/<owner_id>` → amount granted to its jobs |
| `…:waiting`                | hash   | owner_id → how many of its jobs wait, queued or beside |
|                            |        | the line, see lua/lib/queue_use |
| `…:bytes`                  | hash   | owner_id → what its jobs take, in every status; the sum of |
|                            |        | all is the base's `bytes` |
| `…:past_usage`             | hash   | `<resource>/<owner_id>` → `<amount> <time>`: what its jobs |
|                            |        | held on average at that time, see lua/lib/past_usage; |
|                            |        | only while the policy shares |
| `…:hosts`                  | zset   | host → number of its last change (base `hosts`) |
| `…:host:<name>`            | hash   | `capacity:…`, `used:…`, `held:…`, `max_unit:…`, |
|                            |        | `min_unit:…`, `step_size:…`, |
|                            |        | `aggregates`, `traits`, `anywhere`, `dropped`, `source`, |
|                            |        | `publisher`, `digest`, `mixed` (see lua/lib/devices) |
| `…:sources`                | set    | names of the sources that report hosts |
| `…:source:<name>`          | hash   | when its last snapshot was `begun`, and why the last |
|                            |        | attempt failed: `cause`, `text`; the first host of its |
|                            |        | `clashes` is `clashing` |
| `…:deliveries`             | zset   | member → when its callback is due; an hour earlier for the |
|                            |        | first one to a destination that does not fail |
| `…:prompt`                 | zset   | the same, for destinations known to answer promptly |
| `…:attempts:<request_id>`  | stream | the outcome of each attempt to call back, newest ~100 |
| `…:destinations`           | zset   | receiver → its last grant, failure or wish for time |
| `…:destination:<r>`        | hash   | its circuit breaker, see lua/lib/destination.lua |
| `…:owners:<d>`             | set    | owners whose jobs were granted with a callback there |
| `…:flying:<d>`             | zset   | member → end of the lease: callbacks in flight there |
| `…:flying_of:<r>`          | zset   | those of one owner, where a destination has several |
| `…:parked:<r>`             | zset   | member → since when it waits for a slot there |
| `…:parked_at:<d>`          | zset   | receiver that waits for slots there → its last turn |
| `…:parked`                 | zset   | receiver → when its parked callbacks are checked again |
| `…:uncalled:<r>`           | zset   | member → when it was granted: first callbacks that were |
|                            |        | never claimed, to a receiver not known to be prompt; and |
|                            |        | the open offers of an owner, see lua/lib/offer |
| `…:behind`                 | zset   | receiver where too many callbacks wait → when it was |
|                            |        | last refused a grant for that |
| `…:open`                   | zset   | receiver → until when its breaker is open |
| `…:asked`                  | zset   | receiver → until when it asked not to be called |
| `…:failing`                | zset   | destination → its last failure |
| `…:answering`              | zset   | destination → its last answer |
| `…:turned`                 | zset   | failing destinations that had answered within the minute |
|                            |        | before → their last failure |
| `…:keys`                   | hash   | owner_id or `*` → keys that its callbacks are signed with |
| `…:deadlines`              | zset   | member → end of its offer, running time or retention |
| `…:status:beside`          | zset   | member → priority, jobs that wait beside the line; see |
|                            |        | lua/lib/beside |
| `…:dependents:<member>`    | zset   | members of the jobs that wait for the end of that one |
| `…:ended`                  | zset   | member of a job that ended and has dependents → 0 done, |
|                            |        | 1 error, 2 withdrawn; sweeps tell them |
| `…:array:<name>`           | hash   | an array of jobs, see lua/lib/array |
| `…:holding:<name>`         | set    | members of the jobs of an array with `at_once` that hold |
|                            |        | capacity |
| `…:alarms`                 | zset   | member → when a sweep lets it join the line, gives it up |
|                            |        | or tells that its running time ends soon; lua/lib/alarm |
| `…:own_priority`           | set    | members, of every status, whose priority was given: at |
|                            |        | submit or by a reorder |
| `…:passed`                 | hash   | member → when a later job first started before it |
| `…:forecasts`              | hash   | member → the ends of the p90 and p50 first reported for it |
| `…:holding_times`          | stream | how long ended jobs held: `milliseconds`, `owner`, |
|                            |        | `demand_key`, `size`, `expected`; newest ~10,000 |
| `…:turn:plan`              | string | `<term>:<beat> <holder>` of the notifier that plans now; |
|                            |        | `…:turn:plan:again`: another one asked since |
| `…:turn:source:<name>`     | string | the same of the notifier that polls a source |
| `…:tests`                  | zset   | receiver tests that no notifier has taken → when they |
|                            |        | expire; gone a minute after the last one |
| `…:test:<name>`            | hash   | a receiver test: `callback`, `destination`, `owner`, |
|                            |        | `sent`, `cause`, `milliseconds`; gone after a minute |
| `…:wake`                   | zset   | markers of work that no notifier has begun: `grant`, |
|                            |        | `deliver`, `unproven`, `sweep`, `test`; hints, the sets |
|                            |        | tell all |
| `…:later`                  | zset   | `<marker>:<name>` → when a sweep leaves that marker |
| `…:lost`                   | hash   | incarnation → what was lost of it, see lua/report_loss; |
|                            |        | ends in `acknowledged` once an operator knows |
| `…:fit`                    |        | never there: what writes nothing to it tries whether Redis |
|                            |        | takes writes, see prelude |
| `…:set_aside`              | hash   | rest of a key's name → '': a script found there what no |
|                            |        | script wrote, now `…:set_aside:<rest>`; see lua/lib/guard |
| `…:events`                 | stream | every change of state, newest ~10,000 |
| `…:report`                 | string | how far events are counted for reports, and what the type |
|                            |        | had when it was last looked at, JSON; see store/reports |
| `…:report:<step>`          | hash   | what was counted in `hour:<start>` or `day:<start>`, s |
|                            |        | since 1970 by Redis's clock: `all`, `owner/<owner_id>`, |
|                            |        | `rest`, `size/<class>` and `line`, JSON |
| `…:reports`                | zset   | step → when it is deleted |
| `…:imported`               | hash   | identity of a database of the original service → how |
|                            |        | far `rq-broker import` is with it, see cli/importing |
| `…:audit`                  | stream | who changed what, see lua/lib/audit_log |

A **destination** `<d>` is the scheme://host:port of a callback, or `offer` for jobs without one. A
**receiver** `<r>` is a destination as one owner's jobs see it: `<d> <owner_id>`, or `<d>` for jobs
without an owner.

In a type whose policy says that `names` are `per_owner`, `<owner_id>/<request_id>` stands wherever
this table says request_id, and the digest of a callback is that of `<owner_id>`, NUL and the
callback. No request_id holds a slash.

A **member** is the ID in 16 digits, `:`, and the request_id. A sorted set orders equal scores by
member, so jobs of equal priority stand in the order in which they were submitted; and a reader of
the set alone knows which job an entry is.

A **resource** of a host or of a hold is a device where its name has a slash: `GPU/2`, see
domain/devices.py. A host has no `capacity:GPU` beside `capacity:GPU/0` and so on.

A **job** hash has `id`, `owner`, `status`, `shape`, `created` (µs since 1970), `bytes` (what it
takes; not of a job that an older version submitted), `callback`, `data`
and, once they apply, `expected` (ms), `updated` (µs), `joined` (µs, when it came back to the line),
`hosts` (JSON, one name an instance),
`devices` (JSON, one object an instance),
`fence`, `attempts`, `released`, `settled`, `error`, `cause`, `granted`, `offer_ends`,
`running_since` and `renewed` (ms), `ended` (ms, once `updated` says another time), `predicted`
(ms), `predicted_from`,
`least_expected` (ms), `demand_key`, `size`, `destination`, `servers`, `named` (ms), `unseen`,
`missed_by`, `hold_lost` (ms), `submit_key`, what its submit said of itself for logs and traces
(`http_request_id`, `traceparent`, `tracestate`), and what its
submit gave, kept when it is changed: `submitted_priority` and `submitted_expected`, '' for none;
of a job of an array with `at_once` that number; while it holds `alternative`, which of its
alternatives it was granted; `prefers_until` (ms), until when none of these will do;
of its own terms `not_before`, `give_up_after`, `gives_up` and `hold_at_most` (ms), `after`
(members, a line each), `after_any`, and `left`, how many of those it waits for beside the line;
while it is not queued also `demand`, what its shape stands for. Its priority is the score of its
member in `…:status:<status>` and stands nowhere else, so that no two places can disagree.

A `data`, `callback`, `http_request_id` or `tracestate` of 65 to `FOLD_LIMIT` bytes is *folded*:
stored in pieces of at most 64 bytes as `data`, `data2`, `data3` and so on, which a reader joins.
One value over 64 bytes would take a Redis hash out of its compact encoding, and cost every waiting
job some 380 bytes. Longer values stay whole, as the overhead matters less there. For the same
reason callbacks are indexed by their digest in 4,096 small hashes instead of one large one.
"""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Mapping
from hashlib import sha256
from itertools import count

from rq_broker.domain.names import owner_in

TYPES = "rqb:types"
NOTIFIERS = "rqb:notifiers"
INSTALLATION = "/"
"""Stands for a type where a script works on what belongs to no type: none can have this name."""
CONTRACT = 5
"""The version of this contract. Notifiers report it, so that a job which an older one would misread
is not submitted while that one serves the type."""
TERMS_SINCE, ARRAYS_SINCE, DEVICES_SINCE, CHOICES_SINCE, OFFERS_SINCE = 3, 4, 4, 4, 5
"""The versions since which notifiers know a job's own terms, arrays, devices of hosts, what a job
leaves to its grant to choose, and jobs without callback."""
SET_ASIDE = "set_aside"
"""The hash of keys that were of another kind than theirs, and the first part of where they are."""
WAKE_CHANNEL = "rqb:wake"
"""The Pub/Sub channel of wake-ups, of all types."""
ID_DIGITS = 16
"""Digits of the ID in a member: enough for 2^53, so that members sort by ID."""
FOLD = 64
"""Bytes of one piece: the longest value that Redis keeps in its compact encoding by default
(`hash-max-listpack-value`)."""
FOLD_LIMIT = 512
"""Bytes from which a value stays whole: with more pieces, their names cost more than is saved."""


class Keys:
    """The keys of one type."""

    __slots__ = ("base",)

    def __init__(self, type_: str) -> None:
        self.base = f"rqb:{{{type_}}}"

    def of(self, *parts: str) -> str:
        """Build a key: `of("job", "d")` → `rqb:{vm}:job:d`."""
        return ":".join((self.base, *parts))


def member(id_: int, request_id: str) -> str:
    """Build the name a job has in every sorted set: `member(7, "d")` → `0000000000000007:d`."""
    return f"{id_:0{ID_DIGITS}d}:{request_id}"


def job_of(member: str) -> tuple[int, str]:
    """Read a job's ID and request_id back out of a member."""
    return int(member[:ID_DIGITS]), member[ID_DIGITS + 1 :]


def receiver(destination: str, owner: str) -> str:
    """Build the name of a receiver, a destination as one owner's jobs see it.

    >>> receiver("http://x:80", "lab-7"), receiver("http://x:80", "")
    ('http://x:80 lab-7', 'http://x:80')
    """
    return f"{destination} {owner}" if owner else destination


def digest(text: str) -> str:
    """Digest a shape or a callback: 96 bits of SHA-256 as 16 URL-safe characters."""
    # base64.urlsafe_b64encode does the same in two calls more; a submit makes three digests.
    encoded = b2a_base64(sha256(text.encode()).digest()[:12], newline=False)
    return encoded.translate(_URL_SAFE).decode()


_URL_SAFE = bytes.maketrans(b"+/", b"-_")


def callback_digest(callback: str, name: str) -> str:
    """Digest a callback as the index has it, of a job with this name.

    Where names are per owner, so are callbacks: the owner is a part of what is digested.
    """
    owner = owner_in(name)
    return digest(callback) if owner is None else owned_callback_digest(callback, owner)


def owned_callback_digest(callback: str, owner: str) -> str:
    """Digest a callback as the index has it where callbacks are per owner."""
    return digest(f"{owner}\0{callback}")


def fold(field: str, text: str) -> list[str]:
    """Split a value into field, value, … as it is stored, each piece at most 64 bytes long."""
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
        piece = fields.get(f"{field}{number}")
        if piece is None:
            return text
        text += piece
    raise AssertionError
