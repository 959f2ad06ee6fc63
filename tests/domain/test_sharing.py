"""What owners used, and for which weight."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from rq_broker.domain.policy import Policy
from rq_broker.domain.sharing import DEFAULT_HALF_LIFE, Average, Share

AMOUNTS = st.floats(0, 1e6)


def test_the_word_owner_stands_for_the_defaults() -> None:
    """The policy's short form shares with the default half-life and equal weights."""
    assert Policy().sharing is None
    assert Policy(share="owner").sharing == Share("owner", DEFAULT_HALF_LIFE, {})
    assert Policy(share=Share("owner", 60.0)).sharing == Share("owner", 60.0)


def test_weights_are_by_name_before_the_star_and_1_without_it() -> None:
    """A named owner has its own weight; `*` stands for every other one."""
    share = Share("owner", weights={"lab": 2.0, "*": 0.5})
    assert (share.weight("lab"), share.weight("other")) == (2.0, 0.5)
    assert Share("owner", weights={"lab": 2.0}).weight("other") == 1.0


def test_half_of_what_an_owner_used_is_left_after_a_half_life() -> None:
    """The average approaches what is held now; the distance halves with each half-life."""
    average = Average(8.0, since=1000.0)
    assert average.at(1000.0, held=0, half_life=60.0) == 8.0
    assert average.at(1060.0, held=0, half_life=60.0) == 4.0
    assert average.at(1120.0, held=4, half_life=60.0) == 5.0
    assert average.at(1e9, held=4, half_life=60.0) == 4.0


def test_a_clock_that_stepped_back_changes_no_average() -> None:
    """A moment before the average's own is taken for that one."""
    assert Average(8.0, since=1000.0).at(900.0, held=0, half_life=60.0) == 8.0


@given(AMOUNTS, AMOUNTS, st.floats(0, 1e6), st.floats(0, 1e6), st.floats(1, 1e6))
def test_an_average_may_be_brought_up_to_date_at_any_moment(
    amount: float, held: float, first: float, second: float, half_life: float
) -> None:
    """Two steps give what one gives, and the average never leaves what it lies between."""
    average = Average(amount, 0.0)
    in_between = Average(average.at(first, held, half_life), first)
    at_once = average.at(first + second, held, half_life)
    assert in_between.at(first + second, held, half_life) == pytest.approx(at_once, abs=1e-6)
    assert min(amount, held) - 1e-6 <= at_once <= max(amount, held) + 1e-6
