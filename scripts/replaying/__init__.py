"""What `scripts/replay.py` is made of: logs in, schedulers, measures out."""
