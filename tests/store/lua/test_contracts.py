"""The scripts' headers against what Broker sends, and the scripts against what no script may do."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from rq_broker.domain import errors
from rq_broker.domain.capacity import Host, new_host
from rq_broker.domain.jobs import Status
from rq_broker.domain.planning import Promise
from rq_broker.store import scripts
from rq_broker.store.audit.walk import Walk
from rq_broker.store.broker import Broker, SourceReport
from rq_broker.store.contracts.header import Field
from rq_broker.store.deliveries import Settlement
from rq_broker.store.keys import INSTALLATION, Keys, digest, member
from rq_broker.store.rates import Bucket
from rq_broker.store.runner import Runner
from rq_broker.store.scripts import SCRIPTS, Script
from tests.making import TYPE, bring, claim_one, grant, head_of, settle, shape, submit
from tests.store.lua import breaking
from tests.store.lua.arrays import handle_array
from tests.store.lua.breaking import FOR_EVER, KEYS, LOST, set_open_until, trouble_receivers
from tests.store.lua.bytecode import globals_of
from tests.store.lua.letting_in import let_in
from tests.store.lua.moving import move_about
from tests.store.lua.submitting import submit_several

POLICY = {"retention": 0, "limits": {"*": {"VCPU": 9, "GPU": 1}}, "share": "owner"}
WANTED = shape({"VCPU": 1}, {"Chip": 2, "VCPU": 1})
H1 = {"capacity": {"VCPU": 9, "GPU": 1, "Chip": [1, 1]}, "used": {"VCPU": 1}}
EACH = pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS.keys())
LUA = Path(scripts.__file__).parent / "lua"
OF_NO_TYPE = {"allow", "record_drop", "create_token", "rotate_token", "revoke_token"}
OF_NO_TYPE |= {"create_session", "end_session"}
"""Scripts that work on what belongs to no type."""
GENERATED_ERRORS = {"ERR", "NOPERM", "CLOCK_IN_DOUBT"}
"""Words that generated code answers with; no header names them."""
FUNCTIONS = {"redis", "KEYS", "ARGV", "string", "table", "math"} | {
    *("ipairs", "pairs", "tonumber", "tostring", "type", "unpack"),
}
"""All of Lua that a script may use: no cjson, cmsgpack, bit, and nothing of its own left behind."""


def body_of(script: Script) -> str:
    """Return what stands in the script's own file, under its header and includes."""
    text = (LUA / f"{script.name}.lua").read_text()
    return re.sub(r"^---.*\n", "", text, flags=re.MULTILINE)


def _code_of(script: Script) -> str:
    """Return the same with the includes that the script names itself."""
    names = re.findall(r'^--- @include "(\w+)"', (LUA / f"{script.name}.lua").read_text(), re.M)
    files = [path for name in names if (path := LUA / "lib" / f"{name}.lua").exists()]
    return body_of(script) + "".join(path.read_text() for path in files)


def _flat(fields: tuple[Field, ...]) -> Iterator[Field]:
    for field in fields:
        yield field
        yield from field.members


@EACH
def test_headers_are_complete(script: Script) -> None:
    """A header has one sentence, Keeps, base as its key, and a text for each value it declares."""
    contract = script.contract
    assert re.fullmatch(r"[A-Z][^.]*\.", contract.sentence)
    assert contract.keeps.endswith(".")
    assert contract.key == "base"
    values = (*_flat(contract.arguments), *_flat(contract.returns))
    assert [value.name for value in values if not value.text] == []
    names = [field.name for field in contract.arguments]
    assert len(names) == len(set(names))


@EACH
def test_every_declared_argument_is_used(script: Script) -> None:
    """The body reads each argument by the name declared, it or an include the members of rows."""
    body, code = body_of(script), _code_of(script)
    for field in script.contract.arguments:
        assert re.search(rf"(?<![.\w]){field.name}\b", body), field.name
        for column in field.members:
            assert re.search(rf"\.{column.name}\b", code), column.name


@EACH
def test_no_argument_hides_a_name_of_an_include(script: Script) -> None:
    """An argument has no name that an include has a local or a function of."""
    included = script.source.split("-- The arguments, in the order")[0]
    names = re.findall(r"^local (?:function (\w+)|([\w, ]+))", included, re.MULTILINE)
    taken = {name for function, names_ in names for name in (function, *names_.split(", "))}
    assert "base " in taken or "base" in taken
    assert [f.name for f in script.contract.arguments if f.name in taken] == []


@EACH
def test_no_body_counts_arguments(script: Script) -> None:
    """A body reads neither ARGV nor KEYS; generated code does, and one include."""
    assert not re.search(r"\b(ARGV|KEYS)\b", body_of(script))


def test_includes_read_no_arguments() -> None:
    """Of the includes only two read a key, `guard` as it stands before `base`; none an argument."""
    for path in (LUA / "lib").glob("*.lua"):
        text = path.read_text()
        assert ("KEYS[1]" in text) == (path.stem in ("base", "guard"))
        assert "ARGV" not in text


@EACH
def test_replies_name_exactly_what_is_declared(script: Script) -> None:
    """Each reply in the body gives every declared value by name, and no other."""
    declared = {field.name for field in script.contract.returns}
    replies = re.findall(r"\breply\(\{(.*?)\}\)", body_of(script), re.DOTALL)
    assert bool(replies) == bool(declared)
    for reply in replies:
        assert set(re.findall(r"(\w+) = ", reply)) == declared
    returns = re.findall(r"^return (\w+)", body_of(script), re.MULTILINE)
    assert set(returns) <= {"reply", "redis"}


@EACH
def test_headers_name_exactly_the_errors_answered(script: Script) -> None:
    """Errors lists the words the script can answer with, and errors.py has a class for each."""
    words = set(script.contract.errors)
    answered = set(re.findall(r"error_reply\(\s*'(\w+)", script.source)) - GENERATED_ERRORS
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
    called = r"(?<!function )redis\.(?:p?call|write|try_write)\(\s*(.)(\w*)"
    calls = re.findall(called, script.source)
    assert calls
    assert all(quote == "'" for quote, _ in calls)
    forbidden = {"KEYS", "SCAN", "RANDOMKEY", "FLUSHALL", "FLUSHDB", "SELECT", "EVAL"}
    assert forbidden.isdisjoint(command for _, command in calls)


@EACH
def test_scripts_reach_only_keys_of_their_type(script: Script) -> None:
    """Every key a script touches is base, comes from a function of keys, or is a local of those."""
    first = set(re.findall(r"redis\.(?:call|write)\('[A-Z]+', (\w+)", script.source))
    maker = r"(?:\w+_)?key|index_entry"
    made = re.findall(rf"local ([\w, ]+) = .*(?:\b(?:{maker})\(|\(base \.\. ':)", script.source)
    derived = {name for names in made for name in names.split(", ")}
    strange = first - {"base", "name", "set"} - derived
    assert [name for name in strange if not re.fullmatch(maker, name)] == []


@dataclass(frozen=True)
class Call:
    """A run of a script: what was sent, and what came back."""

    verb: str
    arguments: dict[str, Any]
    reply: Any


@pytest.fixture
async def sent(broker: Broker, client: Redis, monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """Call every verb once or more on job d of type vm; return what went to the scripts."""
    calls: list[Call] = []
    run = Runner.run

    async def spied(self: Runner, verb: str, type_: str, /, **arguments: Any) -> Any:
        assert type_ == (INSTALLATION if verb in OF_NO_TYPE else TYPE)
        reply = await run(self, verb, type_, **arguments)
        calls.append(Call(verb, arguments, reply))
        return reply

    monkeypatch.setattr(Runner, "run", spied)
    await broker.set_policy(TYPE, POLICY)
    await broker.set_host(TYPE, new_host("h1", H1))
    job = await submit(broker, data='{"long":"' + "x" * 200 + '"}', shape=WANTED)
    with pytest.raises(errors.DuplicateRequestId):
        await submit(broker)
    await broker.page(TYPE, owners=["o"], status="queued", limit=1)
    await broker.heads(TYPE, 0, 10, 10)
    await broker.note(TYPE, [Promise(job.id, "d", 2.0, 1.0)], [head_of(job)])
    await _lock_and_step(broker)
    await broker.line(TYPE)
    await broker.forecast(TYPE, [(job, 60.0, 60.0)])
    await move_about(broker, WANTED)
    await broker.set_expected(TYPE, "d", 60.0)
    assert await grant(broker, job, WANTED, devices=({}, {"Chip": (0, 1)}))
    await _audit(broker, client)
    await broker.type_state(TYPE, usage=bool(await broker.figures(TYPE)))
    await settle(broker, await claim_one(broker), Settlement("delivered"))
    await _read_holds(broker)
    await broker.sweep(TYPE)
    assert await breaking.claim_with_grant(broker, await bring(broker, Status.QUEUED))
    await broker.due(TYPE)
    assert not await broker.forget_type(TYPE)
    await broker.withdraw(TYPE, "d")
    await broker.drop_host(TYPE, "h1")
    await trouble_receivers(broker, client)
    (destination,) = (await broker.destinations(TYPE))[1]
    await set_open_until(client, destination.name, FOR_EVER)
    await broker.destinations(TYPE)
    await client.zadd(KEYS.of("behind"), {"http://y:80": 1})
    await client.zadd(KEYS.of("parked", "http://y:80"), {str(n): n for n in range(64)})
    await broker.type_state(TYPE)
    await broker.reset(TYPE, destination.name)
    await _report_servers(broker, client)
    await let_in(broker)
    await handle_array(broker)
    await submit_several(broker)
    return calls


async def _audit(broker: Broker, client: Redis) -> None:
    """Read as the audit does a job that ended, and the granted one, some of it counted as used."""
    walk = Walk(client, TYPE)
    await bring(broker, Status.DONE, "ended")
    assert len((await walk.page(Status.DONE, count=9)).plain) == 1
    await broker.withdraw(TYPE, "ended")
    await client.hset(KEYS.of("seen", "d"), "h1/VCPU", 1)
    await client.hset(KEYS.of("unheld", "d"), "h1/VCPU", 1)
    await broker.job_hold(TYPE, "d")
    (row,) = (await walk.page(Status.GRANTED, count=9)).jobs
    await walk.jobs(Status.GRANTED, priority=row.priority, after=row.member, members=[row.member])
    assert await walk.indexed_jobs([digest(row.fields["callback"])]) == ["d"]
    await client.delete(KEYS.of("seen", "d"), KEYS.of("unheld", "d"))
    assert len(await walk.shapes(["unknown"])) == 1
    stranger = member(99, "gone")
    await client.zadd(KEYS.of("owner", "o"), {stranger: 1})
    assert (await walk.owner_page("o", "0")).unlisted == [stranger]
    await client.zrem(KEYS.of("owner", "o"), stranger)


async def _lock_and_step(broker: Broker) -> None:
    """Take a lock, be refused it, and take a step out of the clock."""
    await broker.turn(TYPE, "me", "take", 1)
    await broker.turn(TYPE, "other", "take", 0)
    await broker.runner.run("step", TYPE, offset=0, step=0)
    await broker.runner.run("report_loss", TYPE, incarnation="1", id=0, fence=0, witness=[LOST])
    await broker.acknowledge_losses(TYPE)
    known = (await broker.report_state(TYPE)).text
    step = {"step": "hour:0", "ends": 1, "gone": ["o"], "sums": ["all", "{}"]}
    await broker.runner.run("roll_up", TYPE, known=known, state="{}", now=0, steps=[step])
    await broker.allow([Bucket("identity:x", 1.0, 5)], 2)
    await broker.runner.run("repair_keys", TYPE, keys=["none there", "hash"])
    await broker.runner.run("repair_job", TYPE, member="x", callback="A" * 16, sets=["passed"])
    await broker.runner.run(
        "repair_type",
        TYPE,
        counters=["id", "1"],
        callbacks=["A" * 16, "gone"],
        shapes=["gone"],
        receivers=["http://gone:80"],
        servers=["gone"],
        waiting=["o", "0"],
        bytes=["o", "0"],
    )


async def _report_servers(broker: Broker, client: Redis) -> None:
    """Let a source report a server that a running job named, and then fail."""
    await broker.set_keys(TYPE, "*", ["whsec_x"])
    await broker.runner.run("encrypt_keys", TYPE, owner_id="*", was="whsec_x", signing_keys="x")
    await broker.set_policy(TYPE, {"holds": "until_seen"})
    await bring(broker, Status.RUNNING, "e")
    await broker.transition(TYPE, "e", Status.RUNNING, servers=("s",))
    await broker.watch(TYPE, "lab", 1, 5.0)
    sight = SourceReport(1, [Host("h2", {"VCPU": 1})], {"s": {("h2", "VCPU"): 1}}, kept=["h3"])
    assert await broker.apply(TYPE, "lab", 1, 0, sight) == (1, 0)
    await broker.fail(TYPE, "lab", 1, "faulty", "torn")
    await broker.job_hold(TYPE, "e")
    await broker.sources(TYPE)
    await client.hset(KEYS.of("source", "lab"), "tried", 1)
    await broker.forget_source(TYPE, "lab")
    with pytest.raises(errors.TypeInUse):
        await broker.drop_type(TYPE)
    await broker.runner.run("record_drop", INSTALLATION, dropped=TYPE, deleted="{}")


async def _read_holds(broker: Broker) -> None:
    """Read the hold of job d while it runs, after it changed, and after it ended."""
    await broker.running_holds(TYPE, Status.RUNNING)
    last = (await broker.changed_holds(TYPE, None)).last
    await broker.set_expected(TYPE, "d", None)
    last = (await broker.changed_holds(TYPE, last)).last
    await broker.transition(TYPE, "d", Status.DONE)
    await broker.changed_holds(TYPE, last)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _are_texts(value: Any) -> bool:
    return all(isinstance(text, str) for text in value)


def _are_fields(value: Any) -> bool:
    """Whether these are a dict of texts, or a flat list of an even number of texts."""
    if isinstance(value, dict):
        return _are_texts(value) and _are_texts(value.values())
    return len(value) % 2 == 0 and _are_texts(value)


IS_OF: dict[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "integer": _is_whole,
    "decimal": lambda value: re.fullmatch(r"-?\d+", str(value)) is not None,
    "flag": lambda value: isinstance(value, bool),
    "strings": _are_texts,
    "integers": lambda value: all(map(_is_whole, value)),
    "fields": _are_fields,
    "amounts": lambda value: _are_texts(value) and all(map(_is_whole, value.values())),
}


def _is(field: Field, value: Any, *, sent: bool) -> bool:
    """Whether a value is of the type declared: one sent, or one of a decoded reply."""
    if field.type == "rows":
        return all(_row_is(field, row, sent=sent) for row in value)
    return (field.optional and value is None) or IS_OF[field.type](value)


def _row_is(field: Field, row: Any, *, sent: bool) -> bool:
    values = row if sent else row._asdict()
    return values.keys() == {member.name for member in field.members} and all(
        _is(member, values[member.name], sent=sent) for member in field.members
    )


async def test_the_broker_sends_and_gets_the_types_declared(sent: list[Call]) -> None:
    """Every argument sent is of the type its header declares, and so is every value replied."""
    for call in sent:
        contract = SCRIPTS[call.verb].contract
        assert call.arguments.keys() == {field.name for field in contract.arguments}
        for field in contract.arguments:
            assert _is(field, call.arguments[field.name], sent=True), (call.verb, field.name)
        for field in contract.returns:
            value = getattr(call.reply, field.name)
            assert _is(field, value, sent=False), (call.verb, field.name, value)


async def test_every_collection_is_sent_and_replied_with_values(sent: list[Call]) -> None:
    """The calls of this test leave no declared collection empty, and none of its rows'."""
    for verb, script in SCRIPTS.items():
        calls = [call for call in sent if call.verb == verb]
        for field in script.contract.arguments:
            _expect_values(verb, field, [call.arguments[field.name] for call in calls])
        for field in script.contract.returns:
            _expect_values(verb, field, [getattr(call.reply, field.name) for call in calls])


def _expect_values(verb: str, field: Field, values: list[Any]) -> None:
    assert any(value not in ([], {}) for value in values), (verb, field.name)
    for column in field.members:
        rows = [row if isinstance(row, dict) else row._asdict() for row in chain(*values)]
        _expect_values(verb, column, [row[column.name] for row in rows])


async def test_a_client_in_another_language_follows_the_header(
    broker: Broker, client: Redis
) -> None:
    """A submit written by the header alone is a job like any other, and its reply is in order."""
    fields = ["callback", "http://x/d", "data", "{}"]
    arguments = ["d", "o", digest("http://x/d"), digest("o\0http://x/d"), "", "", "", "shape"]
    arguments += [shape().canonical(), "1", "", "2", *fields, "0", "0", "0"]
    reply = await client.eval(SCRIPTS["submit"].source, 1, Keys(TYPE).base, *arguments)
    job = await broker.read(TYPE, "d")
    assert reply[:-2] == [job.id, job.created, job.priority, job.position, "0"]
    assert (job.owner_id, job.callback, job.data) == ("o", "http://x/d", "{}")


async def test_no_script_is_left_untried(sent: list[Call]) -> None:
    """Each script has a verb of Broker, or a reading of the audit, that runs it."""
    assert {call.verb for call in sent} == SCRIPTS.keys()
