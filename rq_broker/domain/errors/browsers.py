"""Refusals of what a page in somebody's browser may have sent."""

from __future__ import annotations

from rq_broker.domain.errors.root import BrokerError


class WebSocketUnsupported(BrokerError):
    """The request asks for a WebSocket, and the API has none."""

    status = 400
    code = "websocket_unsupported"
    remedy = (
        "Call over HTTP: a read with `wait`, or a [stream of events](http.md#waiting-and-events), "
        "tells of changes at once."
    )


class ForeignOrigin(BrokerError):
    """A browser sent the request for a page of another site, which may change nothing."""

    status = 403
    code = "foreign_origin"
    remedy = (
        "Have the operator name the page's origin by [`--cors-origins`](operating.md#browsers)."
    )


class UnsupportedMediaType(BrokerError):
    """A browser sent a body that is not declared as JSON, as forms do."""

    status = 415
    code = "unsupported_media_type"
    remedy = "Send `Content-Type: application/json`."


class HostNotAllowed(BrokerError):
    """`Host` is no name by which the API is called, as when a page rebinds its own name."""

    status = 421
    code = "host_not_allowed"
    remedy = (
        "Call the API by its address, or have the operator name the host by "
        "[`--allowed-hosts`](operating.md#browsers)."
    )
