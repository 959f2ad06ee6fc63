"""Functions that few runs of a script need are made in those runs only, and do the same."""

from __future__ import annotations

from typing import Any

import pytest
from lupa import lua51

from rq_broker.store.scripts import SCRIPTS
from rq_broker.store.seldom import deferred

INCLUDED = """--- @seldom refuse late
local count = 0

local function add(more)
  count = count + more
  return count
end

local function sentence(text)
  return 'refused: ' .. text .. add(1)
end

-- Returns why.
local function refuse(text)
  return sentence(text)
end

local function check(text)
  return text and refuse(text) or 'kept'
end

local function late(text)
  return check(text)
end

"""
BODY = "local given = ...\nreturn check(given), given and late('b') or '', add(0)\n"


@pytest.mark.parametrize("given", [None, "a"])
def test_a_script_does_the_same(given: str | None) -> None:
    """Functions made late give the same results as at once, and share the script's locals."""
    lua: Any = lua51.LuaRuntime(unpack_returned_tuples=False)
    plain, late = ("".join(texts) for texts in ((INCLUDED, BODY), deferred(INCLUDED, BODY)))
    run = lua.eval("function(text, given) return assert(loadstring(text))(given) end")
    assert tuple(run(late, given)) == tuple(run(plain, given))


def test_only_what_seldom_functions_use_goes_with_them() -> None:
    """A function that plain runs use stays where it is; one that only seldom ones call moves."""
    included, body = deferred(INCLUDED, BODY)
    often, _, seldom = included.partition("function seldom()")
    assert "local function add(" in often
    assert "local function check(" in often
    for name in ("sentence", "refuse", "late"):
        assert f"local function {name}(" not in often
        assert f"local function {name}(" in seldom
    assert "seldom().late('b')" in body


def test_a_script_without_such_functions_stays_as_it_is() -> None:
    """Without the line nothing is changed."""
    included = INCLUDED.partition("\n")[2]
    assert deferred(included, BODY) == (included, BODY)


@pytest.mark.parametrize("script", ["submit", "submit_many"])
def test_a_plain_submit_makes_no_functions_of_terms(script: str) -> None:
    """The functions for a job's terms are among those that few submits make."""
    often, _, seldom = SCRIPTS[script].source.partition("function seldom()")
    assert "local function read_terms(" in seldom
    assert "local function read_terms(" not in often
