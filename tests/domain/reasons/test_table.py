"""The table of reasons: each code with its values, and the sentence that follows from them."""

from __future__ import annotations

import orjson
import pytest

from rq_broker.domain.reasons.codes import ReasonCode, ReasonKind
from rq_broker.domain.reasons.table import ALTERNATIVES, CASES, ENDINGS
from rq_broker.domain.reasons.view import ReasonView
from rq_broker.domain.validation import MAX_WHOLE
from tests.reasons import EXAMPLES, names_in, received, sent

_FIXED = {"code", "kind", "text"}


def test_every_code_and_kind_has_its_row() -> None:
    """No word is there that no reason can have."""
    assert {code for code, _ in CASES} == set(ReasonCode)
    assert {kind for _, kind in CASES if kind} | {ReasonKind.ALTERNATIVES} == set(ReasonKind)


def test_every_example_has_the_values_of_its_row() -> None:
    """JSON has all that the row requires, and of the rest only what the row allows."""
    seen: dict[tuple[ReasonCode, ReasonKind | None], set[str]] = {}
    for example in EXAMPLES:
        found = orjson.loads(sent(example))
        word = (example.code, example.kind)
        case = ALTERNATIVES if example.kind is ReasonKind.ALTERNATIVES else CASES[word]
        assert set(case.required) <= found.keys() - _FIXED <= {*case.required, *case.optional}
        seen.setdefault(word, set()).update(found)
    for (code, kind), case in CASES.items():
        assert seen[code, kind] - _FIXED == {*case.required, *case.optional}
    assert set(ReasonView.__struct_fields__) == set[str]().union(*seen.values())


def test_every_sentence_follows_from_the_values() -> None:
    """Who has the JSON alone can write the same sentence."""
    for example in EXAMPLES:
        assert received(sent(example)).text == example.text == orjson.loads(sent(example))["text"]


def test_no_sentence_has_a_hole() -> None:
    """An owner that is empty, and what is not known, are left out or said in words."""
    assert not [each.text for each in EXAMPLES if "None" in each.text or "  " in each.text]


def test_nobody_else_is_named_to_those_who_may_not_know() -> None:
    """Neither the values nor the sentence have another job or owner; all else stays."""
    assert any(names_in(example) for example in EXAMPLES)
    for example in EXAMPLES:
        discreet = example.without_names()
        told = sent(discreet).decode()
        assert not [name for name in names_in(example) if f'"{name}"' in told]
        assert not names_in(discreet)
        assert received(sent(discreet)).text == discreet.text
        assert set(example.keys) - set(discreet.keys) <= {"job"}


def test_large_amounts_are_intact() -> None:
    """Amounts are whole numbers as in the demand, up to the largest that a demand may have."""
    (largest, *_) = (each for each in EXAMPLES if each.needed == MAX_WHOLE)
    assert f'"needed":{MAX_WHOLE}'.encode() in sent(largest)
    assert received(sent(largest)).needed == MAX_WHOLE


@pytest.mark.parametrize("name", ENDINGS)
def test_each_ending_can_be_behind_each_reason(name: str) -> None:
    """What is added to a sentence does not depend on its code."""
    assert all(name in case.optional for case in [*CASES.values(), ALTERNATIVES])
