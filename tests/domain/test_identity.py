"""Who asks: which owners and types are an identity's own."""

from __future__ import annotations

from rq_broker.domain.identity import ANYONE, Identity, Role


def test_an_identity_owns_what_it_names() -> None:
    """Owners and types that it does not name are not its own."""
    lab = Identity("token:lab", Role.CLIENT, frozenset({"lab"}), frozenset({"vm"}))
    assert lab.owns("lab")
    assert lab.uses("vm")
    assert not lab.owns("lab2")
    assert not lab.uses("gpu")


def test_without_access_control_everything_is_everyones() -> None:
    """ANYONE owns every owner's jobs and may use every type."""
    assert ANYONE.owns("lab")
    assert ANYONE.uses("vm")
