"""Writes the Lua with which each script that writes begins, so that none stops half-way.

A script does not roll back. What Redis refuses of a write (no memory, read-only, a slot that
moves, a missing right) is therefore tried first, in a way that changes nothing. Only a key of
another kind than its own would cost a try for each key: see lua/lib/guard.
"""

from __future__ import annotations

import re

READS = frozenset(
    [
        "EXISTS",
        "GET",
        "HEXISTS",
        "HGET",
        "HGETALL",
        "HKEYS",
        "HLEN",
        "HMGET",
        "HRANDFIELD",
        "HSTRLEN",
        "SCARD",
        "SISMEMBER",
        "SMEMBERS",
        "SMISMEMBER",
        "TIME",
        "TYPE",
        "XLEN",
        "XRANGE",
        "XREVRANGE",
        "ZCARD",
        "ZCOUNT",
        "ZMSCORE",
        "ZRANDMEMBER",
        "ZRANGE",
        "ZRANGEBYSCORE",
        "ZRANK",
        "ZREVRANGE",
        "ZSCAN",
        "ZSCORE",
    ]
)
"""The commands that scripts use and that write nothing; every other command counts as a write."""
FREEING = frozenset(
    (
        "allow",
        "claim",
        "drop_host",
        "end_session",
        "forget_type",
        "reset",
        "revoke_token",
        "settle",
        "sweep",
        "transition",
        "withdraw",
        "withdraw_array",
    )
)
"""Scripts that run at `maxmemory` too: they let jobs end, and so free memory, or shut somebody out.
What they write meanwhile is bounded by the callbacks in flight, the tokens and who asks."""
_CALL = re.compile(r"redis\.(p?)call\((?=\s*'([A-Z]+)')")
_COMMAND = re.compile(r"redis\.(?:p?call|write|try_write)\(\s*'([A-Z]+)'")
_KEY = re.compile(r"(?:\bkey\('|\(base \.\. ':)([a-z_:]+)'|\bindex_entry\('([a-z_]+)'")
_CHECKED_WITH = {"TIME": "", "PUBLISH": ", 'rqb:wake', ''", "RENAME": ", base, base"}
"""Arguments by which the right to a command that takes not one key is checked."""

_KEEP_CLOCK = (
    "if not keep_clock(believed) then",
    "  return clock_in_doubt()",
    "end",
)


def commands(source: str) -> list[str]:
    """List the commands that a script names, each once."""
    return sorted({match[1] for match in _COMMAND.finditer(source)})


def keys(source: str) -> set[str]:
    """List the keys of a type that a script names, without the base; `job:` where more follows."""
    return {match[1] or f"{match[2]}:" for match in _KEY.finditer(source)}


def writes(source: str) -> bool:
    """Return whether a script uses a command that writes."""
    return not READS.issuperset(commands(source))


def keeps_time(verb: str, source: str) -> bool:
    """Return whether a script writes and goes by the type's clock, which it then keeps even."""
    return verb != "step" and writes(source) and "local function now_ms(" in source


def guarded(source: str) -> str:
    """Mark the calls of commands that write, for lua/lib/guard; reads stay as they are."""

    def mark(match: re.Match[str]) -> str:
        if match[2] in READS:
            return match[0]
        return "redis.try_write(" if match[1] else "redis.write("

    return _CALL.sub(mark, source)


def prelude(verb: str, source: str) -> str:
    """Write the checks of one script; empty for a script that only reads.

    `…:fit` never exists. SETRANGE of no bytes leaves it so, but fails where writes fail: at
    maxmemory, on a replica, without enough replicas, after a failed save, in a slot that moves. DEL
    fails there too, except at maxmemory. The rights of the user are checked where scripts can
    (Redis 7, Valkey).
    """
    if not writes(source):
        return ""
    call = "'DEL', base .. ':fit'" if verb in FREEING else "'SETRANGE', base .. ':fit', 0, ''"
    names, keeps_itself = commands(source), re.search(r"^if not keep_clock\(", source, re.MULTILINE)
    checks = " and ".join(f"may_run('{name}'{_CHECKED_WITH.get(name, ', base')})" for name in names)
    return "\n".join(
        (
            "",
            "-- What would stop this script half-way stops it here, where nothing is written yet.",
            f"redis.call({call})",
            "local may_run = redis.acl_check_cmd",
            f"if may_run and not ({checks}) then",
            "  return redis.error_reply('NOPERM the Redis user lacks the right to one of "
            f"{' '.join(names)}')",
            "end",
            *(_KEEP_CLOCK if keeps_time(verb, source) and not keeps_itself else ()),
            "switch_off()",  # of lua/lib/guard
            "",
        )
    )
