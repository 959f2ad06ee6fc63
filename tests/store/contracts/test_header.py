"""Headers that can be read, and headers that cannot."""

from __future__ import annotations

import pytest

from rq_broker.store.contracts.header import ContractError, Field, parse

HEADER = """--- Do a thing.
--- Keeps: a rule
---   on two lines.
--- KEYS[1] base
--- ARGV
---   name    string    a name
---                     on two lines
---   limit   integer?  how many
---   hosts   rows      the hosts
---     host  string    its name
---     used  amounts   what is used
---                     of it
--- Returns none
--- Errors NOT_FOUND, CONFLICT
"""


def test_a_header_is_read_whole() -> None:
    """Every section, each field with its type and its whole text, and the members of rows."""
    contract = parse(HEADER)
    assert contract.sentence == "Do a thing."
    assert contract.keeps == "a rule on two lines."
    assert contract.key == "base"
    assert contract.arguments == (
        Field("name", "string", False, "a name on two lines"),
        Field("limit", "integer", True, "how many"),
        Field(
            "hosts",
            "rows",
            False,
            "the hosts",
            (
                Field("host", "string", False, "its name"),
                Field("used", "amounts", False, "what is used of it"),
            ),
        ),
    )
    assert contract.returns == ()
    assert contract.errors == ("NOT_FOUND", "CONFLICT")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("--- Keeps: a rule\n---   on two lines.\n", "", "sections are"),
        ("--- Returns none\n--- Errors NOT_FOUND, CONFLICT\n", "", "sections are"),
        (
            "--- Errors NOT_FOUND, CONFLICT",
            "--- Errors none\n--- Errors none",
            "Errors stands twice",
        ),
        ("string    a name", "text      a name", "no field"),
        ("rows      the hosts", "strings   the hosts", "rows have members"),
        (
            "---     host  string    its name\n---     used  amounts   what is used\n",
            "",
            "rows have",
        ),
        ("used  amounts ", "used  amounts?", "cannot be optional"),
        ("integer?  how many", "flag?     whether", "cannot be optional"),
        (
            "hosts   rows      the hosts",
            "hosts   rows      the hosts\n---   last  string  x",
            "a scalar stands behind a collection",
        ),
    ],
)
def test_a_header_that_breaks_a_rule_is_refused(old: str, new: str, reason: str) -> None:
    """A header out of order, with an unknown type, or with a scalar behind a collection fails."""
    assert old in HEADER
    with pytest.raises(ContractError, match=reason):
        parse(HEADER.replace(old, new))
