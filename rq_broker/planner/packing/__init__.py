"""Where the instances of a job go: what is free on each host, and how a job is placed on it."""
