"""The URL at which an API serves, as the command line and the Python client take it."""

from __future__ import annotations

DEFAULT_SERVER = "http://127.0.0.1:8080"
"""Where `rq-broker dev` and `api` serve."""


def checked_url(url: str) -> str:
    """Return the URL of an API. Raises ValueError if it is none."""
    if not url.lower().startswith(("http://", "https://")):
        raise ValueError(f"the server '{url}' is no URL such as {DEFAULT_SERVER}")
    return url
