"""Offers: the grants of jobs without callback, which their clients take by the status `running`."""

from __future__ import annotations

OFFER = "offer"
"""Stands for the destination of jobs without callback; lua/lib/job.lua has the same."""
