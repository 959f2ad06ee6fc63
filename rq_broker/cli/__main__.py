"""`python -m rq_broker.cli`, for where the console script is not on PATH."""

from rq_broker.cli import main

main()
