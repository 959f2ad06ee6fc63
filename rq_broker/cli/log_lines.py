"""How every process of the broker logs: one format, from one level on."""

from __future__ import annotations

import logging


def set_up_logging(level: str = "info") -> None:
    """Log to standard error from this level on, that of uvicorn included."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger().setLevel(level.upper())
    # httpx logs each request: one line for every poll of a source that uses it.
    logging.getLogger("httpx").setLevel(logging.WARNING)
