"""packing/host_tables.py: a pass leaves the tables that it was given as they were."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from rq_broker.planner import HostTables, plan, tables_of
from tests.planner.device_oracle import with_held
from tests.planner.oracle import random_hosts, random_snapshot


@pytest.mark.parametrize("seed", range(20))
def test_kept_tables_change_no_plan(seed: int) -> None:
    """Passes over the same hosts decide the same with tables that earlier passes used."""
    snapshot = random_snapshot(seed, 4, 5)
    expected, tables = plan(snapshot), HostTables(snapshot.hosts)
    for _ in range(3):
        planned = plan(snapshot, tables)
        assert planned.grants == expected.grants
        assert planned.passed == expected.passed
        assert planned.promises == expected.promises
        assert dict(planned.reasons) == dict(expected.reasons)


def test_tables_are_kept_for_the_very_same_hosts() -> None:
    """Other hosts have other tables, even where they are equal: nobody compares thousands."""
    hosts = random_snapshot(1, 4, 5).hosts
    tables = tables_of(hosts, None)
    assert tables_of(hosts, tables) is tables
    assert tables_of(dict(hosts), tables) is not tables


@pytest.mark.parametrize("seed", range(40))
def test_tables_of_changed_hosts_change_no_plan(seed: int) -> None:
    """After hosts came, went, were dropped, freed or used, plans are those of tables made anew."""
    snapshot, rng = random_snapshot(seed, 6, 5), Random(seed)
    tables = HostTables(snapshot.hosts)
    plan(snapshot, tables)
    for _ in range(4):
        hosts = dict(snapshot.hosts)
        for name in rng.sample(sorted(hosts), 2):
            held = {"VCPU": rng.choice((-1, 1))}
            hosts[name] = with_held(hosts[name], held, 1)
        name = rng.choice(sorted(hosts))
        hosts[name] = replace(hosts[name], dropped=not hosts[name].dropped)
        (other,) = random_hosts(rng, 1)
        hosts[rng.choice(("h0", "other"))] = replace(other, name="other")
        hosts = {host.name: host for host in hosts.values()}
        snapshot = replace(snapshot, hosts=hosts)
        tables = tables_of(hosts, tables)
        planned, expected = plan(snapshot, tables), plan(snapshot)
        assert planned.grants == expected.grants
        assert planned.promises == expected.promises
        assert dict(planned.reasons) == dict(expected.reasons)
