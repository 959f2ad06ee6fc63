"""Who gets capacity, and why not yet."""
