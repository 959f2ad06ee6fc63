"""Replies in Lua: named by the script, put in the order of the header."""

from __future__ import annotations

import pytest

from rq_broker.store.contracts.header import ContractError, parse
from rq_broker.store.contracts.lua import expand_replies

RETURNS = parse("""--- Do a thing.
--- Keeps: a rule.
--- KEYS[1] base
--- ARGV none
--- Returns
---   id      integer   a number
---   fence   integer?  a number, or none
---   name    string    a text
---   is_new  flag      a flag
---   tags    strings   texts
---   hosts   rows      hosts
---     host  string    its name
--- Errors none
""").returns


def test_a_reply_is_put_in_order() -> None:
    """Values may stand in any order and over many lines; commas in them separate nothing."""
    body = """if a then
  return reply({ tags = { 'x, })', y }, is_new = not b, name = f(a, b), id = id,
    hosts = {}, fence = g[1] and 2, })
end
"""
    assert (
        expand_replies(body, RETURNS)
        == """if a then
  return { tonumber(id), tonumber((g[1] and 2) or '') or '', f(a, b), (not b) and 1 or 0, \
{ 'x, })', y }, hosts_in_order({}) }
end
"""
    )


@pytest.mark.parametrize(
    "body",
    [
        "return reply({ id = 1 })",
        "return reply({ id = 1, fence = 2, name = 'x', is_new = a, tags = t, hosts = h, x = 1 })",
        "return reply({ id = 1, fence = 2, name = 'x', is_new = a, tags = t, hosts = h",
    ],
)
def test_a_reply_names_exactly_what_is_declared(body: str) -> None:
    """A reply with a value too few, one too many, or without an end is refused at import."""
    with pytest.raises(ContractError, match="a reply"):
        expand_replies(body, RETURNS)
