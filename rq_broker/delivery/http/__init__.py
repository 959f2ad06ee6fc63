"""The HTTP client that receivers meet; nothing else in the broker dials them."""
