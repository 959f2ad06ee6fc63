"""Names that a service allows and the broker does not: they are left out, the host stays."""

from __future__ import annotations

from rq_broker.domain.capacity import Host, checked
from rq_broker.sources.checking import check_snapshot
from rq_broker.sources.source import SourceSnapshot
from rq_broker.sources.trimming import trimmed

LABEL = f"{'l' * 253}/{'n' * 63}={'v' * 63}"
"""The longest label of Kubernetes."""
RESOURCE = f"{'r' * 200}.gpu"


def test_a_host_loses_the_names_that_are_too_long() -> None:
    """Whatever else it has stays, and it can be stored."""
    long = Host(
        "n1",
        {"VCPU": 4, RESOURCE: 2},
        {RESOURCE: 1},
        aggregates=frozenset({LABEL, "zone=a"}),
        max_unit={RESOURCE: 1, "VCPU": 2},
        traits=frozenset({LABEL, "T" * 256, "T"}),
    )
    (host,), left_out = trimmed([long])
    assert host == Host(
        "n1",
        {"VCPU": 4},
        {},
        aggregates=frozenset({"zone=a"}),
        max_unit={"VCPU": 2},
        traits=frozenset({"T"}),
    )
    checked(host)
    text = left_out["n1"]
    assert f"label {LABEL[:60]}… is left out: it is longer than 255 bytes" in text
    assert f"resource {RESOURCE[:60]}… is left out: it is longer than 64 bytes" in text


def test_the_longest_names_stay() -> None:
    """255 bytes of a label and 64 of a resource are the broker's own limits."""
    host = Host("n1", {"r" * 64: 1}, aggregates=frozenset({"l" * 255, "ü" * 127}))
    assert trimmed([host]) == ((host,), {})


def test_what_is_left_out_is_trouble_of_the_source() -> None:
    """A few hosts are named, the others counted; none of them is bad."""
    hosts = [Host(f"n{number}", {"r" * 65: 1}) for number in range(5)]
    kept, left_out = trimmed(hosts)
    checked_snapshot = check_snapshot(SourceSnapshot(kept, left_out=left_out), {})
    assert not checked_snapshot.bad_hosts
    assert len(checked_snapshot.hosts) == 5
    assert "host n0: resource rrr" in checked_snapshot.trouble
    assert checked_snapshot.trouble.endswith("something is left out of 2 more hosts")


def test_many_names_of_one_host_are_counted() -> None:
    """The text about a host stays short."""
    many = Host("n1", {}, aggregates=frozenset(f"{number}{LABEL}" for number in range(9)))
    assert trimmed([many])[1]["n1"].endswith("6 more likewise")
