"""The scripts' headers against what Broker sends, and the scripts against what no script may do."""

from __future__ import annotations

import re
from typing import Any

import pytest
from redis.asyncio import Redis

from rq_broker.domain import errors
from rq_broker.domain.capacity import Host
from rq_broker.domain.jobs import Status
from rq_broker.domain.planning import Protection
from rq_broker.domain.policy import Policy
from rq_broker.store.broker import Broker, SourceReport
from rq_broker.store.deliveries import Settlement
from rq_broker.store.keys import Keys
from rq_broker.store.records import policy_text
from rq_broker.store.runner import Runner
from rq_broker.store.scripts import SCRIPTS, Script
from tests.making import TYPE, bring, claim_one, grant, head_of, settle, submit
from tests.store.lua.bytecode import globals_of

EACH = pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS.keys())
LABEL = re.compile(r"--- (Keeps|KEYS\[1\]|ARGV\[\d+…?\]|Returns|Errors)(?::| ) ?(.*)")
FUNCTIONS = {"redis", "KEYS", "ARGV", "string", "table", "math"} | {
    *("ipairs", "pairs", "tonumber", "tostring", "unpack"),
}
"""All of Lua that a script may use: no cjson, cmsgpack, bit, and nothing of its own left behind."""


def _header(script: Script) -> list[tuple[str, str]]:
    """Read the contract: (label, text) in the order written, the sentence under ''."""
    found: list[tuple[str, str]] = []
    for line in script.contract.splitlines():
        label = LABEL.fullmatch(line)
        if label:
            found.append((label[1], label[2]))
        elif line.startswith("---   ") and found:
            found[-1] = (found[-1][0], f"{found[-1][1]} {line[6:]}")
        else:
            found.append(("", line.removeprefix("--- ")))
    return found


def _arguments(script: Script) -> list[tuple[str, str]]:
    return [(label, text) for label, text in _header(script) if label.startswith("ARGV")]


@EACH
def test_headers_say_everything_in_the_fixed_order(script: Script) -> None:
    """One sentence, Keeps, KEYS, ARGV from 1 on, Returns, Errors: each once, none empty."""
    labels = [label for label, _ in _header(script)]
    arguments = [f"ARGV[{number}" for number in range(1, len(_arguments(script)) + 1)]
    assert [re.sub(r"…?\]$", "", label) for label in labels] == [
        *("", "Keeps", "KEYS[1"),
        *arguments,
        *("Returns", "Errors"),
    ]
    assert all(text for _, text in _header(script))
    assert re.fullmatch(r"[A-Z][^.]*\.", _header(script)[0][1])
    assert dict(_header(script))["KEYS[1]"] == "base"
    assert not any("…" in label for label, _ in _arguments(script)[:-1])


@EACH
def test_every_argument_gets_a_local_name(script: Script) -> None:
    """Each single ARGV of the header is read once, into a local; no other is read."""
    singles = [label for label, _ in _arguments(script) if "…" not in label]
    locals_ = "\n".join(re.findall(r"^local [\w, ]+ = .*", script.source, re.MULTILINE))
    assert [label for label in singles if label not in locals_] == []
    read = set(re.findall(r"ARGV\[\d+\]", script.source))
    variable = {label.replace("…", "") for label, _ in _arguments(script) if "…" in label}
    assert read - variable == set(singles)


@EACH
def test_headers_name_exactly_the_errors_answered(script: Script) -> None:
    """Errors lists the words the script can answer with, and errors.py has a class for each."""
    said = dict(_header(script))["Errors"]
    words = set() if said == "none" else set(said.split(", "))
    answered = set(re.findall(r"error_reply\(\s*'(\w+)", script.source))
    assert words == answered
    assert words <= errors.by_word().keys()
    assert len(answered) == 0 or "error({" not in script.source


@EACH
def test_scripts_use_no_globals_but_the_few(script: Script) -> None:
    """No script sets a global or reads one beyond a short list, on any path: read from bytecode."""
    read, written = globals_of(script.source)
    assert written == set()
    assert read <= FUNCTIONS


def test_globals_are_found_on_every_path() -> None:
    """Globals are seen in nested functions and in branches that never run; locals are not."""
    source = "local a = 1; if false then b = a end; return function() return c, a end"
    assert globals_of(source) == ({"c"}, {"b"})


@EACH
def test_scripts_name_their_commands_and_scan_nothing(script: Script) -> None:
    """Each redis.call names its command, and none walks the keyspace or empties it."""
    calls = re.findall(r"redis\.p?call\(\s*(.)(\w*)", script.source)
    assert calls
    assert all(quote == "'" for quote, _ in calls)
    forbidden = {"KEYS", "SCAN", "RANDOMKEY", "FLUSHALL", "FLUSHDB", "SELECT", "EVAL"}
    assert forbidden.isdisjoint(command for _, command in calls)


@EACH
def test_scripts_reach_only_keys_of_their_type(script: Script) -> None:
    """Every key a script touches is base, comes from a function of keys, or is a local of those."""
    first = set(re.findall(r"redis\.call\('[A-Z]+', (\w+)", script.source))
    maker = r"(?:\w+_)?key|callback_entry"
    made = re.findall(rf"local ([\w, ]+) = .*\b(?:{maker})\(", script.source)
    derived = {name for names in made for name in names.split(", ")}
    strange = first - {"base", "name", "set"} - derived
    assert [name for name in strange if not re.fullmatch(maker, name)] == []


def test_policy_defaults_are_those_of_the_model() -> None:
    """The spans Lua assumes for an unset policy are the ones models.Policy has, in ms."""
    table = re.search(r"POLICY_DEFAULTS = \{(.*?)\}", SCRIPTS["grant"].source, re.DOTALL)
    assert table
    defaults = dict(re.findall(r"(\w+) = '(\d*)'", table[1]))
    assert {"offer", "running", "retention"} <= defaults.keys()
    assert defaults == {name: policy_text(name, getattr(Policy(), name)) for name in defaults}


@pytest.fixture
async def sent(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """Call every verb once or more on job d of type vm; return what went to the scripts."""
    calls: list[tuple[str, Any]] = []
    run = Runner.run

    async def spied(self: Runner, verb: str, *args: Any) -> Any:
        calls.append((verb, args))
        return await run(self, verb, *args)

    monkeypatch.setattr(Runner, "run", spied)
    limits = {"*": {"VCPU": 9, "GPU": 1}}
    await broker.set_policy(TYPE, {"retention": 0, "limits": limits})
    await broker.set_host(TYPE, Host("h1", {"VCPU": 9, "GPU": 1}, {"VCPU": 1}))
    job = await submit(broker, data='{"long":"' + "x" * 200 + '"}')
    await broker.page(TYPE, owner_id="o", status="queued", limit=1)
    await broker.heads(TYPE, 0, 10, 10)
    await broker.note(TYPE, Protection(job.id, "d", frozenset({"h1"})), [head_of(job)])
    await broker.turn(TYPE, "me", "take", 1)
    await broker.forecast(TYPE, job, 60.0)
    await broker.holdings(TYPE)
    await broker.reorder(TYPE, "d", "position", "front")
    assert await grant(broker, job) == 1
    await settle(broker, await claim_one(broker), Settlement("delivered"))
    await broker.transition(TYPE, "d", Status.DONE, fence=1)
    await broker.sweep(TYPE)
    await bring(broker, Status.QUEUED)
    await broker.withdraw(TYPE, "d")
    await broker.drop_host(TYPE, "h1")
    await broker.set_keys(TYPE, "*", ["whsec_x"])
    (destination,) = (await broker.destinations(TYPE))[1]
    await broker.reset(TYPE, destination.name)
    await broker.watch(TYPE, "lab", 1, 5.0)
    sight = SourceReport(1, [Host("h2", {"VCPU": 1})], {"s": {("h2", "VCPU"): 1}})
    assert await broker.apply(TYPE, "lab", 1, 0, sight) == (1, 0)
    await broker.fail(TYPE, "lab", 1, "faulty", "torn")
    await broker.sources(TYPE)
    return calls


async def test_the_broker_sends_what_the_headers_say(
    sent: list[tuple[str, Any]], client: Redis
) -> None:
    """Every verb of these is sent with its base and as many arguments as its header lists."""
    assert await client.ping()
    for verb, (base, *arguments) in sent:
        listed = _arguments(SCRIPTS[verb])
        assert base == Keys(TYPE).base
        fixed = [text for label, text in listed if "…" not in label]
        rest = len(arguments) - len(fixed)
        assert rest >= 0, verb
        assert rest == 0 or len(listed) > len(fixed), verb
        if listed and "pairs" in listed[-1][1] and "…" in listed[-1][0]:
            assert rest % 2 == 0, verb
        named = [value for text, value in zip(fixed, arguments, strict=False) if _is_name(text)]
        assert set(named) <= {"d"}, verb


def _is_name(text: str) -> bool:
    return text == "request_id"


async def test_no_script_is_left_untried(sent: list[tuple[str, Any]]) -> None:
    """Each script has a verb of Broker that runs it."""
    assert {verb for verb, _ in sent} == SCRIPTS.keys()


async def test_grants_send_caps_and_fours(sent: list[tuple[str, Any]]) -> None:
    """A grant counts its cap pairs, and what follows them are whole fours."""
    ((_, *arguments),) = [args for verb, args in sent if verb == "grant"]
    texts = [text for _, text in _arguments(SCRIPTS["grant"])]
    first = texts.index("how many cap pairs follow") + 1
    caps = int(arguments[first - 1])
    assert arguments[first : first + 2 * caps] == ["VCPU", 9, "GPU", 1]
    assert arguments[first + 2 * caps :] == ["h1", "VCPU", 1, 1]
