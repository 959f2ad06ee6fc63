"""Turns a callback, as a client names it, into the URL to call and into its destination."""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import urljoin, urlsplit

from rq_broker.domain.errors import CallbackForbidden, Invalid
from rq_broker.egress.rules import Egress
from rq_broker.egress.url import parse_authority, split_url

_PLAIN_SEGMENT = re.compile(r"[A-Za-z0-9?&=%.,;:@!$'()*+~_-]*")
"""The last segment of a path, and a query, in which there is nothing to refuse or encode."""


def absolute_url(callback: str, callback_base: str | None) -> str:
    """Return the URL to call: the callback itself, or joined to the base if it is relative.

    Raises Invalid for a callback that is no URL or lacks a base, CallbackForbidden for a scheme
    other than http and https.

    >>> absolute_url("abc", "http://base.test/inbox/")
    'http://base.test/inbox/abc'
    """
    if callback[:8].lower().startswith(("http://", "https://")):
        return callback
    try:
        scheme = urlsplit(callback).scheme
    except ValueError as error:
        raise Invalid(f"callback is not a URL: {error}") from None
    if scheme:
        raise CallbackForbidden(f"callback must be an http:// or https:// URL, not {scheme}:")
    if callback_base is None:
        raise Invalid(
            "callback must be an absolute http or https URL: relative ones need --callback-base"
        )
    return urljoin(callback_base, callback)


def destination(
    callback: str, callback_base: str | None = None, egress: Egress | None = None
) -> str:
    """Return the destination of a callback: `scheme://host:port`, always with the port.

    Raises Invalid for what is no URL, and its subclass CallbackForbidden for a URL that cannot be
    dialled, or may not be under the egress rules if they are given.

    >>> destination("HTTP://Lab.test/done?id=7")
    'http://lab.test:80'
    """
    # Callbacks of one receiver often differ in their last segment alone, which does not change the
    # destination: the rest is the key of a cache.
    parent, slash, segment = callback.rpartition("/")
    is_absolute = callback.startswith(("http://", "https://")) and parent.count("/") > 1
    if is_absolute and _PLAIN_SEGMENT.fullmatch(segment):
        return _destination(parent + slash, callback_base, egress)
    return _destination.__wrapped__(callback, callback_base, egress)


@lru_cache(1024)
def _destination(callback: str, callback_base: str | None, egress: Egress | None) -> str:
    url = absolute_url(callback, callback_base)
    if egress is not None:
        return egress.check_url(url).destination
    scheme, authority, _ = split_url(url)
    return _canonical(scheme, authority)


@lru_cache(1024)
def _canonical(scheme: str, authority: str) -> str:
    host, _, port = parse_authority(scheme, authority)
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
