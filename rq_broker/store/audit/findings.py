"""What the audit reports: a finding names a key's owner and says what is wrong, for operators."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad a finding is."""

    FAULT = "fault"
    """The keys contradict each other."""
    NOTE = "note"
    """Allowed, and an operator should know it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding; it reads as a sentence: `fault: job 0000000000000007:d is done but …`."""

    severity: Severity
    subject: str
    text: str

    @property
    def kind(self) -> str:
        """What it is about, the first word of the subject: `job`, `host`, `usage` and others."""
        return self.subject.partition(" ")[0]

    @property
    def is_of_job(self) -> bool:
        """Whether the subject is a job, named by its member."""
        return self.kind == "job"

    def __str__(self) -> str:
        return f"{self.severity}: {self.subject} {self.text}"


def list_amounts(amounts: Mapping[str, int | str]) -> str:
    """Render amounts for a finding, sorted by name: `GPU 1, VCPU 63`, or `nothing`."""
    return ", ".join(f"{name} {amount}" for name, amount in sorted(amounts.items())) or "nothing"
