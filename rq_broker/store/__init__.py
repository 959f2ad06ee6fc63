"""All that knows Redis: keys, records and scripts, and the broker that runs them."""
