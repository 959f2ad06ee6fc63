"""What `rq-broker run` does: wait with a progress line, run the command, and give back."""
