"""The HTTP client that calls receivers; nothing else in the broker dials them."""
