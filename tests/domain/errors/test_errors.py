"""The tree of errors: it is as drawn, and every code names one class."""

from __future__ import annotations

import re

import pytest

from rq_broker.domain import errors
from rq_broker.domain.errors import BrokerError, CallbackForbidden, by_status, by_word, meaning
from rq_broker.egress.callback import destination

DRAWN = re.findall(r"^    ([│ ├└─]*)(\w+) +(\d{3}) +(\w+)", errors.__doc__ or "", re.MULTILINE)
"""(branch, class, status, code) of every line of the drawing but its root."""


def test_the_tree_is_as_drawn() -> None:
    """The drawing has every class below its parent, with its status and its code."""
    parents: list[type[BrokerError]] = [BrokerError]
    for branch, name, status, code in DRAWN:
        depth = len(branch) // 4
        cls = getattr(errors, name)
        assert cls.__bases__ == (parents[depth - 1],)
        assert (cls.status, cls.code) == (int(status), code)
        parents[depth:] = [cls]
    drawn = {name for _, name, _, _ in DRAWN}
    assert {cls.__name__ for cls in by_word().values()} == {"BrokerError", *drawn}


def test_a_code_names_one_class() -> None:
    """No two classes share a code, and `by_word` finds the class of each code."""
    codes = [code for _, _, _, code in DRAWN]
    assert len(set(codes)) == len(codes)
    assert all(by_word()[code.upper()].code == code for code in codes)


def test_every_error_says_what_to_do() -> None:
    """Each class has a remedy of its own, and a meaning; both are whole sentences in one line."""
    for error in by_status():
        assert "remedy" in vars(error), error
        for text in (error.remedy, meaning(error)):
            assert text.endswith("."), error
            assert not {"\n", "|"} & set(text)
            names = re.findall(r"\b[a-z_]+[./][A-Za-z_]+", re.sub(r"`[^`]*`|\([^)]*\)", "", text))
            assert not names, f"{error} names what is inside the broker: {names}"


@pytest.mark.parametrize("url", ["ftp://x/", "http://x/#f", "http://x:99999/", "http://x/a b"])
def test_a_callback_of_a_wrong_form_is_meant_too(url: str) -> None:
    """The table says of the code both that it has: a form that is wrong, a forbidden address."""
    with pytest.raises(CallbackForbidden):
        destination(url)
    assert {"form", "address"} <= set(meaning(CallbackForbidden).replace(",", "").split())


def test_the_sentence_is_kept() -> None:
    """The text of an error is the sentence that it was raised with."""
    assert str(by_word()["DUPLICATE_CALLBACK"]("callback is taken")) == "callback is taken"
