"""From a callback as a client names it to the URL and the receiver that is called."""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import urljoin, urlsplit

from rq_broker.domain.errors import CallbackForbidden, Invalid
from rq_broker.egress import url as target
from rq_broker.egress.rules import Egress

# Callbacks


def resolve(callback: str, callback_base: str | None) -> str:
    """Make a callback absolute: the URL that is called."""
    if callback[:8].lower().startswith(("http://", "https://")):
        return callback
    try:
        scheme = urlsplit(callback).scheme
    except ValueError as reason:
        raise Invalid(f"callback is not a URL: {reason}") from None
    if scheme:
        raise CallbackForbidden(f"callback must be an http:// or https:// URL, not {scheme}:")
    if callback_base is None:
        raise Invalid("callback must be an absolute http or https URL: there is no callback base")
    return urljoin(callback_base, callback)


def destination(
    callback: str, callback_base: str | None = None, egress: Egress | None = None
) -> str:
    """Name the receiver of a callback: `scheme://host:port`, the port always said.

    Raises Invalid for what is no URL, its child CallbackForbidden for what no courier would dial.
    """
    url = resolve(callback, callback_base)
    if egress is not None:
        return egress.check_url(url).destination
    scheme, authority, _ = target.split(url)
    return _receiver(scheme, authority)


@lru_cache(1024)
def _receiver(scheme: str, authority: str) -> str:
    host, _, port = target.parse_authority(scheme, authority)
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
