"""The scripts: one Lua file per verb, with includes by name, resolved once at import.

A line `--- @include "name"` becomes lib/<name>.lua, or what Python generates, where the name first
appears. The lines above the first include are the header: the script's contract (see contracts).
From it the code for arguments and reply is generated; the checks of prelude stand behind it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha1
from pathlib import Path

from rq_broker.store import policy_record, prelude
from rq_broker.store.contracts import header, lua
from rq_broker.store.contracts.header import Contract
from rq_broker.store.contracts.values import Decoder, Encoder, decoder, encoder
from rq_broker.store.reachable import reachable
from rq_broker.store.wait_bounds import lua_wait_bounds

_HERE = Path(__file__).parent / "lua"
_INCLUDE = re.compile(r'^--- @include "(\w+)"\n', re.MULTILINE)
_HEADER = re.compile(r"(?:---.*\n)+")
_GUARD = '--- @include "guard"\n'
_NEST = "--- @nest\n"
"""What follows this line is one function within the script. Its functions find at once what stands
before the line, guard and base; of their own locals Redis searches for each name that they use."""
_KEY = re.compile(r"\bkey\('")


@dataclass(frozen=True, slots=True)
class Script:
    """One verb: its header, its whole source, and the SHA Redis knows it by."""

    name: str
    header: str
    contract: Contract
    source: str
    sha: str
    encode: Encoder
    decode: Decoder
    keeps_time: bool
    """Whether it takes, at the end, the time that its caller believes it is; see contracts."""
    writes: bool
    """Whether it may change something."""


_GENERATED: Mapping[str, Callable[[], str]] = {
    "policy_defaults": policy_record.lua_defaults,
    "audit_log_default": policy_record.lua_audit_log_default,
    "queue_limits_default": policy_record.lua_queue_limits_default,
    "wait_bounds": lua_wait_bounds,
}
"""Includes that are no file, but written from what Python declares."""


@cache
def _include(name: str) -> str:
    write = _GENERATED.get(name)
    return write() if write else (_HERE / "lib" / f"{name}.lua").read_text()


def _expand(text: str, included: set[str]) -> Iterator[str]:
    """Yield what stands between the includes of a text, and in their places theirs."""
    between = _INCLUDE.split(text)  # text, name, text, …
    for part, name in zip(between[::2], (*between[1::2], None), strict=True):
        yield part
        if name and name not in included:
            included.add(name)
            yield from _expand(_include(name), included)


def _nested(source: str) -> str:
    before, line, rest = source.partition(_NEST)
    return f"{before}{line}return (function()\n{rest}end)()\n" if line else source


def build(name: str, text: str) -> Script:
    """Make a script of the text of its file."""
    match = _HEADER.match(text)
    if not match:
        raise header.ContractError(f"{name}.lua has no header")
    declared, body = _INCLUDE.sub("", match[0]), text[match.end() :]
    contract = header.parse(declared)
    expanded = list(_expand(match[0], set()))
    keeps_time = prelude.keeps_time(name, reachable(expanded, body) + body)
    included = reachable(expanded, body + " keep_clock clock_in_doubt" * keeps_time)
    writes = prelude.writes(included + body)
    if writes:
        included = "".join(_expand(_GUARD, set())) + included
    source = "".join(
        (
            included,
            lua.arguments(
                name,
                contract.arguments,
                keeps_time=keeps_time,
                is_audited=bool(contract.audit),
            ),
            prelude.prelude(name, included + body),
            lua.reply_functions(contract.returns),
            lua.expand_replies(body, contract.returns),
        )
    )
    if writes:
        source = prelude.guarded(source)
    source = _nested(_KEY.sub("(base .. ':", source))  # without a call for each key
    sha = sha1(source.encode(), usedforsecurity=False).hexdigest()
    encode, decode = encoder(contract.arguments), decoder(name, contract.returns)
    return Script(
        name,
        declared,
        contract,
        source,
        sha,
        encode,
        decode,
        keeps_time,
        writes,
    )


SCRIPTS = {path.stem: build(path.stem, path.read_text()) for path in sorted(_HERE.glob("*.lua"))}
