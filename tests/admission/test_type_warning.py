"""What the answer about a type warns of."""

from __future__ import annotations

import pytest

from rq_broker.admission.type_warning import type_warning
from rq_broker.domain.capacity import Host
from rq_broker.domain.jobs import Status
from rq_broker.domain.policy import Policy

HOSTS = {"h1": Host("h1", {"VCPU": 4, "gpu": 1}), "h2": Host("h2", {"Slots": 1})}
BUSY = dict.fromkeys(Status, 1)
EMPTY = dict.fromkeys(Status, 0)


@pytest.mark.parametrize(
    ("policy", "warning"),
    [
        (Policy(), None),
        (Policy(limits={"*": {"VCPU": 1}, "lab": {"Slots": 1}}), None),
        (
            Policy(limits={"*": {"VCPUS": 1, "VCPU": 1}}),
            "limits name VCPUS, which no host of the type has; did you mean VCPU?",
        ),
        (
            Policy(limits={"lab": {"GPU": 1}}),
            "limits name GPU, which no host of the type has; did you mean gpu?",
        ),
        (Policy(offer=0.5), "an offer of 0.5 s may end before its callback is sent"),
        (Policy(running=0.001), "a running time of 0.001 s ends before clients can renew it"),
        (Policy(offer=1.0, running=1.0, retention=0.0), None),
    ],
)
def test_a_policy_is_warned_of_what_it_says_in_vain(policy: Policy, warning: str | None) -> None:
    """Limits on resources that no host has, and spans that nobody can keep."""
    assert type_warning("vm", policy, HOSTS, BUSY) == warning


def test_a_type_that_nobody_uses_is_warned_of() -> None:
    """A misspelt type has no host and no job; hosts or jobs alone make it a type in use."""
    warning = type_warning("vmm", Policy(limits={"*": {"X": 1}}), {}, EMPTY)
    assert warning == "type vmm has no host and no job yet: check its name if that surprises you"
    assert type_warning("vm", Policy(), HOSTS, EMPTY) is None
    assert type_warning("vm", Policy(), {}, BUSY) is None


def test_several_warnings_stand_in_one_text() -> None:
    """Each is named, in one sentence."""
    warning = type_warning("vm", Policy(offer=0.1, limits={"*": {"X": 1}}), HOSTS, BUSY)
    assert warning == (
        "limits name X, which no host of the type has; "
        "an offer of 0.1 s may end before its callback is sent"
    )
