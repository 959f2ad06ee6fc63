"""The keys: names, folding, and the one slot of a type."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given, strategies as st
from redis.asyncio import Redis

from rq_broker.domain.jobs import Status
from rq_broker.domain.planning import Promise
from rq_broker.domain.policy import Policy
from rq_broker.store import keys
from rq_broker.store.broker import Broker
from rq_broker.store.keys import FOLD, FOLD_LIMIT, TYPES, Keys, digest, fold, member, unfold
from tests.making import bring, claim_one, head_of, submit
from tests.redis_reads import key_names

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
NEAR_THE_LIMITS = st.builds(
    lambda letter, size, tail: letter * (size // len(letter.encode())) + tail,
    st.sampled_from(["x", "ü", "虛", "🜚"]),
    st.sampled_from([0, FOLD - 2, FOLD, 3 * FOLD, FOLD_LIMIT - 2, FOLD_LIMIT, 9000]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=3),
)


@given(st.one_of(TEXTS, NEAR_THE_LIMITS))
def test_unfold_joins_what_fold_split(text: str) -> None:
    """Any text is read as it was folded; its pieces are small enough to keep a hash compact."""
    flat = fold("data", text)
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    assert unfold(fields, "data") == text
    assert len(fields) == len(flat) // 2
    if len(text.encode()) <= FOLD_LIMIT:
        assert all(len(piece.encode()) <= FOLD for piece in fields.values())
        assert len(fields) <= 10
    else:
        assert len(fields) == 1


@given(st.sets(TEXTS, min_size=2, max_size=20))
def test_digests_are_short_and_differ(texts: set[str]) -> None:
    """A digest is 16 URL-safe characters, and differs for different texts."""
    names = {digest(text) for text in texts}
    assert len(names) == len(texts)
    assert all(re.fullmatch(r"[\w-]{16}", name) for name in names)


@given(st.lists(st.integers(0, 10**16 - 1), min_size=2, unique=True), TEXTS)
def test_members_sort_by_id(ids: list[int], request_id: str) -> None:
    """Members compare as the IDs in them, so equal priorities are first come, first served."""
    members = [member(id_, request_id) for id_ in sorted(ids)]
    assert all(a < b for a, b in pairwise(members))
    assert all(name[17:] == request_id for name in members)


@pytest.mark.parametrize("type_", ["vm", "虛擬機", "a b", "100%", "a:b"])
async def test_every_key_of_a_type_shares_its_slot(
    broker: Broker, client: Redis, type_: str
) -> None:
    """Every key but the set of types starts with the base of its type."""
    await broker.set_policy(type_, {"limits": {"*": {"VCPU": 9}}})
    for status in Status:
        await bring(broker, status, f"{{x}}{status}", type_)
    await claim_one(broker, type_=type_)
    waiting = await submit(broker, "w", type_)
    await broker.note(type_, [Promise(waiting.id, "w", 2.0, 1.0)], [head_of(waiting)])
    await broker.turn(type_, "a", "take", 60)
    await broker.turn(type_, "b", "take", 60)
    await broker.sweep(type_)
    suffixes = {key.removeprefix(Keys(type_).base) for key in await key_names(client)}
    foreign = {key for key in suffixes if not (key.startswith(":") or key in ("", TYPES))}
    assert foreign == set()
    kinds = {key.split(":")[1] for key in suffixes if key.startswith(":")}
    assert kinds <= _documented()
    assert await broker.policy(type_) == Policy(limits={"*": {"VCPU": 9}})


def _documented() -> set[str]:
    """Read the kinds of keys out of the table."""
    return set(re.findall(r"`…:(\w+)", keys.__doc__ or ""))
