"""The examples in the docstrings of the egress package."""

from __future__ import annotations

import doctest
from types import ModuleType

import pytest

from rq_broker.egress import callback, networks, rules, url


@pytest.mark.parametrize("module", [callback, networks, rules, url], ids=lambda m: m.__name__)
def test_the_examples_hold(module: ModuleType) -> None:
    """Each module shows at least one example, and each example gives what it says."""
    results = doctest.testmod(module)
    assert results.attempted > 0
    assert results.failed == 0
