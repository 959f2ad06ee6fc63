"""set_policy.lua: changes of policy fields."""

from __future__ import annotations

from rq_broker.domain.policy import Policy
from rq_broker.store.broker import Broker
from tests.making import TYPE


async def test_policy_changes_are_kept_field_by_field(broker: Broker) -> None:
    """Other fields stay as they are; None is no limit; unset fields have their defaults."""
    assert await broker.policy(TYPE) == Policy()
    limits = {"*": {"VCPU": 4}, "lab:7": {"GPU": 1}}
    await broker.set_policy(TYPE, {"patience": 0, "running": 1.5, "limits": limits})
    changed = await broker.set_policy(TYPE, {"offer": None, "share": "owner", "paused": True})
    expected = Policy(
        patience=0.0, offer=None, running=1.5, paused=True, share="owner", limits=limits
    )
    assert changed == expected
    assert (await broker.type_state(TYPE)).policy == expected
    await broker.set_policy(TYPE, {"running": None, "share": None, "limits": {}, "paused": False})
    assert await broker.policy(TYPE) == Policy(patience=0.0, offer=None, running=None)
