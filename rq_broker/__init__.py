"""rq-broker: a wait-queue for scarce capacity, kept in Redis, spoken to over HTTP."""

__version__ = "0.1.0"
