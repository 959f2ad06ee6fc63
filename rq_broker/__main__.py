"""`python -m rq_broker`, for when the console script is not on PATH."""

from rq_broker.cli import main

main()
