"""`python -m rq_broker.cli`, for when the console script is not on PATH."""

from rq_broker.cli import main

main()
