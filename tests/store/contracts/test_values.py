"""Values of every type, through a script and back, on both kinds of server."""

from __future__ import annotations

from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from rq_broker.store.contracts.header import ContractError
from rq_broker.store.scripts import build

EXACT = 2**53 - 1
ECHO = build(
    "echo",
    """--- Reply what was sent.
--- Keeps: everything.
--- KEYS[1] base
--- ARGV
---   text       string    a text
---   no_text    string?   a text, or none
---   amount     integer   a whole number
---   no_amount  integer?  a whole number, or none
---   digits     decimal   a whole number as text
---   no_digits  decimal?  a whole number as text, or none
---   yes        flag      a flag
---   names      strings   texts
---   numbers    integers  whole numbers
---   pairs_     fields    names and values
---   caps       amounts   name to whole number
---   hosts      rows      hosts
---     host     string    its name
---     alias    string?   a name, or none
---     age      integer?  a number, or none
---     up       flag      a flag
---     tags     strings   texts
---     used     amounts   name to whole number
---   last       strings   texts behind the rows
--- Returns
---   text       string    as sent
---   no_text    string?   as sent
---   amount     integer   as sent
---   no_amount  integer?  as sent
---   digits     decimal   as sent
---   no_digits  decimal?  as sent
---   yes        flag      as sent
---   vcpu       integer   VCPU of caps
---   kinds      strings   what the scalars are in Lua
---   names      strings   as sent
---   numbers    integers  as sent
---   pairs_     fields    as sent
---   hosts      rows      as sent
---     host     string    as sent
---     alias    string?   as sent
---     age      integer?  as sent
---     up       flag      as sent
---     vcpu     integer   VCPU of used
---     tags     strings   as sent
---   last       strings   as sent
--- Errors none
--- @include "base"

local rows = {}
for i, host in ipairs(hosts) do
  rows[i] = { host = host.host, alias = host.alias, age = host.age, up = host.up,
    tags = host.tags, vcpu = host.used.VCPU or 0 }
end
return reply({
  text = text, no_text = no_text, amount = amount, no_amount = no_amount, digits = digits,
  no_digits = no_digits, yes = yes, names = names, numbers = numbers, pairs_ = pairs_, hosts = rows,
  kinds = { type(text), type(no_text), type(amount), type(no_amount), type(digits), type(yes) },
  vcpu = caps.VCPU or 0, last = last,
})
""",
)
FULL: dict[str, Any] = {
    "text": "ä\0b",
    "no_text": "x",
    "amount": EXACT,
    "no_amount": -EXACT,
    "digits": "12345678901234567890",
    "no_digits": 7,
    "yes": True,
    "names": ["a", "", "虛"],
    "numbers": [1, EXACT],
    "pairs_": ["VCPU", "1", "VCPU", "2"],
    "caps": {"GPU": 1, "VCPU": EXACT},
    "hosts": [
        {
            **{"host": "h1", "alias": None, "age": None, "up": False, "tags": [], "used": {}},
        },
        {
            **{"host": "h2", "alias": "x", "age": 3, "up": True, "tags": ["t", "u"]},
            "used": {"VCPU": 8},
        },
    ],
    "last": ["z"],
}
EMPTY: dict[str, Any] = {
    "text": "",
    "no_text": None,
    "amount": 0,
    "no_amount": None,
    "digits": 0,
    "no_digits": None,
    "yes": False,
    "names": [],
    "numbers": [],
    "pairs_": [],
    "caps": {},
    "hosts": [],
    "last": [],
}


async def echo(client: Redis, arguments: dict[str, Any]) -> Any:
    return ECHO.decode(await client.eval(ECHO.source, 1, "base", *ECHO.encode(arguments)))


async def test_values_of_every_type_survive(client: Redis) -> None:
    """Texts, whole numbers up to 2^53, decimals of any length and rows come back as sent."""
    reply = await echo(client, FULL)
    same = ["text", "no_text", "amount", "no_amount", "digits", "yes", "names", "numbers", "last"]
    assert {name: getattr(reply, name) for name in same} == {name: FULL[name] for name in same}
    assert reply.no_digits == "7"
    assert reply.pairs_ == {"VCPU": "2"}
    assert reply.vcpu == EXACT
    assert reply.kinds == ["string", "string", "number", "number", "string", "boolean"]
    assert [tuple(row) for row in reply.hosts] == [
        ("h1", None, None, False, 0, []),
        ("h2", "x", 3, True, 8, ["t", "u"]),
    ]


async def test_none_and_nothing_survive(client: Redis) -> None:
    """None is nil in Lua, an empty text stays one, and empty collections shift nothing."""
    reply = await echo(client, EMPTY)
    assert (reply.text, reply.amount, reply.digits, reply.yes) == ("", 0, "0", False)
    assert (reply.no_text, reply.no_amount, reply.no_digits) == (None, None, None)
    assert reply.kinds == ["string", "nil", "number", "nil", "string", "boolean"]
    assert (reply.names, reply.numbers, reply.pairs_, reply.hosts) == ([], [], {}, [])
    assert reply.last == []


@pytest.mark.parametrize("count", [-1, 1])
async def test_a_wrong_number_of_arguments_is_refused(client: Redis, count: int) -> None:
    """A script that gets an argument too few or too many says so before it does anything."""
    values = ECHO.encode(EMPTY)
    values = [*values, "x"] if count > 0 else values[:count]
    with pytest.raises(ResponseError, match="the arguments are not those echo declares"):
        await client.eval(ECHO.source, 1, "base", *values)


@pytest.mark.parametrize("changes", [{"unknown": 1}, {"text": None}])
def test_names_must_be_those_declared(changes: dict[str, Any]) -> None:
    """An argument that is missing or not declared is refused before anything is sent."""
    arguments = {**FULL, **changes}
    if arguments["text"] is None:
        del arguments["text"]
    with pytest.raises(ContractError, match="arguments are"):
        ECHO.encode(arguments)


def test_names_in_rows_must_be_those_declared() -> None:
    """A row with a member too few is refused as well."""
    (first, _) = FULL["hosts"]
    with pytest.raises(ContractError, match="arguments are"):
        ECHO.encode({**FULL, "hosts": [{**first, "more": 1}]})


def test_a_reply_of_another_length_is_refused() -> None:
    """A reply with a value too few is no reply of this script."""
    with pytest.raises(ContractError, match="echo has 3 values, not 14"):
        ECHO.decode(["a", "b", "c"])
