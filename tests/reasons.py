"""An example of each reason there is, and how one is read back from its JSON."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import msgspec

from rq_broker.domain.reasons.codes import ReasonCode, ReasonKind
from rq_broker.domain.reasons.reason import Reason
from rq_broker.domain.reasons.table import ALTERNATIVES, CASES, Case
from rq_broker.domain.reasons.values import (
    Anywhere,
    HeldByNobody,
    Lack,
    Lead,
    Reserved,
    SourceTrouble,
    Unserved,
    Where,
)
from rq_broker.domain.reasons.view import ReasonView
from rq_broker.domain.representation import to_json
from rq_broker.domain.validation import MAX_WHOLE

NOW = 1_795_719_600.0
_WHERE = Where("sm", ("rack-1", "rack-2"), ("SSD",), ("OLD", "SLOW"), ("NVLINK",), ("MIG",))
_FEW = (Lack("Memory", 65_536, 49_152), Lack("VCPU", 16, -2))
_VALUES: dict[str, tuple[Any, ...]] = {
    "resource": ("Memory",),
    "needed": (65_536, MAX_WHOLE),
    "free": (49_152, 0, -8),
    "host": ("sm-b-014",),
    "lacks": (_FEW, (Lack("GPU", 3, 1),)),
    "where": (_WHERE, Where("sm"), Where(forbid=("OLD",))),
    "similar": (("Memory",), ("VCPU", "PCPU")),
    "anywhere": (Anywhere("LICENCE", "licences"),),
    "largest": (1_000,),
    "devices_needed": (4,),
    "devices_free": (3, 0),
    "instance": ((("Memory", 32_768), ("VCPU", 16)), (), (("LICENCE", 1),)),
    "count": (8, 1),
    "fits": (6, 0),
    "others": (1, 3),
    "spread": (True,),
    "at_least": (True,),
    "owner": ("lab-7", ""),
    "limit": (64, 1),
    "held": (60,),
    "kept": (4,),
    "destination": ("http://10.0.3.12:9000",),
    "until": (NOW + 40, NOW + 86_400.5),
    "job": ("fold-batch-7731",),
    "passed_since": (NOW - 3_600,),
    "hosts": (("sm-b-014",), ("a", "b", "c", "d", "e")),
    "left": (1, 3),
    "jobs": (1, 4),
    "any_end": (True,),
    "array": ("sweep[*]",),
    "source": ("placement",),
    "servers": (("0b7", "1c8"),),
    "seconds": (75.0,),
    "expected": (20.0,),
    "unheld": ((HeldByNobody("h1", "VCPU", 2),),),
    "attempts": (1, 3),
    "cause": ("http_503",),
    "alternatives_from": (NOW + 60,),
    "after_earlier": (True,),
    "reserved": (
        Reserved(("a", "b", "c", "d"), 4, NOW + 600, ("j1",), 1),
        Reserved(("a",), 1, NOW + 600, ("j1", "j2", "j3", "j4"), 4),
        Reserved(("a",), 1, NOW + 90_000),
        Reserved(("a",), 1),
    ),
    "lead": (Lead(0.05, 0.3, "heavy", "r2", "light"),),
    "sources": (
        (SourceTrouble("placement", True, 190.0, "timeout"), SourceTrouble("nova", True)),
        (SourceTrouble("kube", False, 3.0, "bad_hosts", "host h9 keeps its last good state"),),
    ),
    "unserved": (Unserved(), Unserved(45.0)),
}
"""Name of a value → some that it may have."""


def _examples(code: ReasonCode, kind: ReasonKind | None, case: Case) -> list[Reason]:
    """Return reasons with the required values only, with each of the optional ones, with all."""
    required = [name for name in case.required if name in _VALUES]
    some = [
        Reason(code=code, kind=kind, now=NOW, **dict(zip(required, values, strict=True)))
        for values in product(*(_VALUES[name] for name in required))
    ]
    bare = some[0]
    for name in case.optional:
        some += [replace(bare, **{name: value}) for value in _VALUES[name]]
    some.append(replace(bare, **{name: _VALUES[name][0] for name in case.optional}))
    if code is ReasonCode.NO_NOTIFIER:
        some = [each for each in some if each.unserved]
    return some


_PLAIN = [each for (code, kind), case in CASES.items() for each in _examples(code, kind, case)]
_OPTIONS = tuple(_PLAIN[::9])
EXAMPLES: list[Reason] = [
    *_PLAIN,
    *(
        replace(each, alternatives=_OPTIONS[number : number + length])
        for length in (1, 2, 5)
        for number, each in enumerate(
            _examples(ReasonCode.NO_FIT, ReasonKind.ALTERNATIVES, ALTERNATIVES), 1
        )
    ),
]
"""Reasons of every code and kind, with every value that they may have."""


def names_in(reason: Reason) -> set[str]:
    """Return what a reason names of other jobs and owners."""
    named = {reason.job, *(reason.reserved.waits_for if reason.reserved else ())}
    if reason.lead:
        named |= {reason.lead.job, reason.lead.owner}
    return named.union(*map(names_in, reason.alternatives)) - {""}


def sent(reason: Reason) -> bytes:
    """Return the JSON of a reason."""
    return to_json(ReasonView.of(reason))


def received(json: bytes, now: float = NOW) -> Reason:
    """Read a reason back from its JSON: all that a client knows of it, and no sentence."""
    return _of_view(msgspec.json.decode(json, type=ReasonView), now)


def _of_view(view: ReasonView, now: float) -> Reason:
    fields = {
        name: value
        for name in view.__struct_fields__
        if name != "text" and (value := getattr(view, name)) is not msgspec.UNSET
    }
    if "instance" in fields:
        fields["instance"] = tuple(fields["instance"].items())
    if "alternatives" in fields:
        fields["alternatives"] = tuple(_of_view(each, now) for each in fields["alternatives"])
    return Reason(**fields, now=now)
