"""The tree of failures."""

from __future__ import annotations

from rq_broker.sources.failures import SourceFailed


def test_every_failure_has_its_own_cause() -> None:
    """No two classes of failure share a cause, so that metrics tell them apart."""
    classes = [SourceFailed]
    for cls in classes:
        classes.extend(cls.__subclasses__())
    assert len({cls.cause for cls in classes}) == len(classes) == 6
