"""Names that are like one that is not known."""

from __future__ import annotations

import pytest

from rq_broker.domain.similar import did_you_mean

KNOWN = ("Memory", "VCPU", "Disk", "nvidia.com/gpu", "HW_CPU_X86_AVX2")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("memory", "; did you mean Memory?"),
        ("Memroy", "; did you mean Memory?"),
        ("VCPUs", "; did you mean VCPU?"),
        ("nvidia.com/gpus", "; did you mean nvidia.com/gpu?"),
        ("HW_CPU_X86_AVX", "; did you mean HW_CPU_X86_AVX2?"),
        ("GPU", ""),
        ("", ""),
        ("x" * 61, ""),
    ],
)
def test_names_that_are_alike_are_named(name: str, hint: str) -> None:
    """A slip of one letter or of case is recognised, and a name of another thing is not."""
    assert did_you_mean(name, KNOWN) == hint


def test_two_names_at_most_and_the_one_in_another_case_first() -> None:
    """Of many similar names a sentence shows two."""
    assert did_you_mean("disk", ["Disks", "Disk", "Disk1"]) == "; did you mean Disk or Disks?"
