"""What all sources share: the order of snapshots."""

from __future__ import annotations

from rq_broker.sources.source import next_sequence


def test_sequences_grow_however_fast_they_are_drawn() -> None:
    """Two snapshots that begin in the same microsecond have an order."""
    sequences = [next_sequence() for _ in range(1000)]
    assert sequences == sorted(set(sequences))
