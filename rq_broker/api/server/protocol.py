"""uvicorn's httptools protocol with limits, and with no way to leave HTTP/1.1.

A no-op request costs 50 µs of CPU with httptools, 130 with h11 (`make bench ARGS=http-submit`). But
httptools ends at a request with `Upgrade`, and uvicorn then parses that request's body as the next
request (Kludex/uvicorn#2722). It also reads heads of any size, for any time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from enum import Enum
from typing import Any
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from rq_broker.api.request_ids import request_id_of
from rq_broker.api.server.answers import AnswerCycle, AnswerWriter, unframed
from rq_broker.api.server.connections import Connections, address_key
from rq_broker.api.server.heads import check_head, take_host
from rq_broker.api.server.limits import (
    BODY_SECONDS,
    HEAD_BYTES,
    HEAD_SECONDS,
    LINGER_SECONDS,
    PIPELINED,
    URL_BYTES,
    WRITE_SECONDS,
)
from rq_broker.api.server.refusals import headers_too_large, refusal_of, rendered, uri_too_long
from rq_broker.domain import errors

CONNECTIONS = "connections"
"""Key of the lifespan's state under which the application gives the server its Connections."""


class _Phase(Enum):
    """What the connection waits for, and with it which time limit runs."""

    HEAD = "the client sends a head"
    BODY = "the client sends a body"
    ANSWER = "the request is complete and not yet answered"
    IDLE = "the client may send another request"
    REFUSED = "what the client still sends is dropped"


# Python 3.11 takes 0.17 µs to look up a member, fifteen times a request.
_HEAD, _BODY, _ANSWER, _IDLE, _REFUSED = _Phase


class LimitedProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._registry: Connections = self.app_state[CONNECTIONS]
        self.address = ""
        """The client's address, as it counts against the limit."""
        self.url = b""
        self._phase = _HEAD
        self._deadline = 0.0
        """When the phase must be over, by the clock of the loop."""
        self._refusal: errors.BrokerError | None = None
        self._request_id = ""
        """`X-Request-ID` of the refusal."""
        self._unanswered: deque[RequestResponseCycle] = deque()
        """Requests that have begun and have no complete answer yet, in their order."""
        self._chunk = 0
        """Bytes of the chunk that is being parsed."""
        self._begins = 0
        """Requests that began within this chunk."""
        self._head = 0
        """Bytes of the head in the chunks before this one."""
        self._framing = 0
        """Bytes of a body since its last data: sizes of chunks, extensions, trailers."""
        self._unsent, self._unsent_since = 0, 0.0
        """Bytes of answers that the client has not read yet, and since when that many."""
        self._ends = False
        """Whether the process is about to end."""

    # The connection

    def connection_made(self, transport: Any) -> None:
        """Accept the connection, or refuse it if there are too many."""
        super().connection_made(transport)
        self._answers = AnswerWriter(self.transport, self.loop)
        self.address = address_key(self.client[0]) if self.client else ""
        self._deadline = self.loop.time() + HEAD_SECONDS
        refusal = self._registry.admit(self)
        if refusal:
            self._refusal, self._phase, self._request_id = refusal, _REFUSED, request_id_of(())
            self._send_refusal()
            if not self._registry.may_linger():
                self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._registry.remove(self)
        for cycle in self._unanswered:  # uvicorn tells the last one only
            cycle.disconnected = True
            cycle.message_event.set()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Begin to end: requests that have begun are answered, then the connection closes."""
        self._registry.end_soon()
        self._ends = True
        if not (self._phase is _HEAD and self._head):
            super().shutdown()

    def close_idle(self) -> None:
        """Close the connection, on which no request is under way."""
        if self.transport.get_write_buffer_size():
            self.cut()
        else:
            self.transport.close()

    def cut(self) -> None:
        """Close the connection at once, whatever it was to send."""
        self.transport.abort()

    # Parsing

    def data_received(self, data: bytes) -> None:
        """Parse what the client sent; refuse what is too long, or no HTTP/1.1."""
        if self._phase is _REFUSED:
            return
        starts_clean = self._phase is _IDLE or not (self._head or self._unanswered)
        self._chunk, self._begins = len(data), 0
        try:
            rest = self._feed(data)
            while rest is not None:
                rest = self._feed(self._head_without_upgrade() + rest)
        except (httptools.HttpParserError, errors.BrokerError) as error:
            self._refuse(refusal_of(error))
            return
        if self._phase is _HEAD or self._phase is _BODY:
            self._check_incomplete(starts_clean=starts_clean)

    def _feed(self, data: bytes) -> bytes | None:
        """Parse; returns what follows the head of a request with `Upgrade`, None if none came.

        The parser stops behind such a head, whatever its body, so that another protocol can take
        over. There is none here, and a server may ignore the header (RFC 9110, section 7.8).
        """
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            return data[upgrade.args[0] :]
        return None

    def _head_without_upgrade(self) -> bytes:
        """Return the head that was parsed last, without `Upgrade`, for a new parser."""
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        if method == b"CONNECT":
            raise errors.MethodNotAllowed("CONNECT is not allowed on any path")
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        fields = [
            name + b": " + value + b"\r\n" for name, value in self.headers if name != b"upgrade"
        ]
        return b"%b %b HTTP/%b\r\n%b\r\n" % (method, self.url, version, b"".join(fields))

    def on_message_begin(self) -> None:
        """Start the time limit of a head."""
        super().on_message_begin()
        if self._phase is _IDLE:
            self._registry.busy(self)
        self._phase = _HEAD
        self._deadline = self.loop.time() + HEAD_SECONDS
        self._begins += 1
        self._head = 0

    def on_headers_complete(self) -> None:
        """Start the request, unless its head will be read again without `Upgrade`."""
        if self._head + self._chunk > URL_BYTES:
            self._check_head()
        if self.parser.should_upgrade():
            return
        if len(self.pipeline) >= PIPELINED:
            raise errors.Malformed(f"more than {PIPELINED} requests wait for the one before them")
        version = self.parser.get_http_version()
        check_head(version, self.headers)
        if not self.url.startswith(b"/"):
            self.url = take_host(self.url, self.headers)
        self._begin_request(version)
        self.headers = []  # trailers of a chunked body are no headers of the request
        self._phase = _BODY
        self._deadline = self.loop.time() + BODY_SECONDS
        self._framing = 0

    def _begin_request(self, version: str) -> None:
        """Start the request; one that comes before an earlier one is answered waits for that."""
        target = httptools.parse_url(self.url)
        path, scope = target.path.decode("ascii"), self.scope
        scope["http_version"] = version
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["path"] = self.root_path + (unquote(path) if "%" in path else path)
        scope["raw_path"] = self.root_path.encode("ascii") + target.path
        scope["query_string"] = target.query or b""
        self.cycle = AnswerCycle(
            answers=self._answers,
            scope=scope,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=not self._ends and version != "1.0" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        if self._unanswered:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))
        else:
            self._start_asgi_task(self.cycle, self.app)
        self._unanswered.append(self.cycle)

    def on_body(self, body: bytes) -> None:
        """Hand a piece of the body to the request; drop it if the request is answered already."""
        self._framing = -self._chunk
        cycle = self.cycle
        if cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        """Tell the request that its body is complete."""
        if self._phase is not _BODY:
            return  # the head will be read again without `Upgrade`
        self._phase = _ANSWER
        self.cycle.more_body = False
        self.cycle.message_event.set()
        if not self._unanswered:
            self._await_next()

    def on_response_complete(self) -> None:
        """Go on with the next request of the connection, if it has come.

        uvicorn would set a timer for each answer, and read on while more requests wait.
        """
        self.server_state.total_requests += 1
        self._unanswered.popleft()
        if self.transport.is_closing():
            return
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        if not self.pipeline:
            self.flow.resume_reading()
        if self._unanswered:
            return
        if self._phase is _ANSWER:
            self._await_next()
        elif self._phase is _REFUSED:
            self._send_refusal()
        elif self._phase is _BODY and self.expect_100_continue:
            # A client that was not told to go on may or may not send the body.
            self._phase = _REFUSED
            self._send_refusal()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if cycle.scope["http_version"] == "1.0":
            app = unframed(app, cycle)
        task = self.loop.create_task(cycle.run_asgi(app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def _await_next(self) -> None:
        self._phase = _IDLE
        self._deadline = self.loop.time() + self.timeout_keep_alive
        self._registry.idle(self)

    # Sizes

    def _check_head(self) -> None:
        """Raise an error if the head that is now complete is too long."""
        if len(self.url) > URL_BYTES:
            raise uri_too_long(URL_BYTES)
        # ": " and the end of the line add four bytes to each.
        size = sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size + len(self.url) > HEAD_BYTES:
            raise headers_too_large(HEAD_BYTES)

    def _check_incomplete(self, *, starts_clean: bool) -> None:
        """Refuse the request if its head or the framing of its body is too long already."""
        if self._phase is _HEAD:
            # Where a request ended within this chunk, it is unknown how much of it is the head.
            is_all_head = not self._begins or (self._begins == 1 and starts_clean)
            self._head += self._chunk if is_all_head else 1
            if len(self.url) > URL_BYTES:
                self._refuse(uri_too_long(URL_BYTES))
            elif self._head > HEAD_BYTES:
                self._refuse(headers_too_large(HEAD_BYTES))
        elif self._phase is _BODY and not self._begins:
            self._framing += self._chunk
            if self._framing > HEAD_BYTES:
                self._refuse(headers_too_large(HEAD_BYTES))

    # Time

    def check(self, now: float) -> None:
        """Cut the connection if one of its time limits is over."""
        unsent = self.transport.get_write_buffer_size()
        if not unsent or unsent != self._unsent:
            self._unsent, self._unsent_since = unsent, now
        elif now - self._unsent_since >= WRITE_SECONDS:
            event = f"its client read nothing of an answer for {WRITE_SECONDS:g} s"
            self._registry.warn("slow readers", f"a connection is cut: {event}", self.address)
            self.cut()
            return
        if self._phase is _ANSWER or now < self._deadline:
            return
        if self._phase is _IDLE:
            self.close_idle()
        elif self._phase is _REFUSED:
            self._expire_refusal()
        elif self.flow.read_paused:
            self._deadline = now + HEAD_SECONDS  # the client cannot send, and does not dawdle
        elif self._phase is _HEAD:
            self._time_out("head", HEAD_SECONDS)
        else:
            self._time_out("body", BODY_SECONDS)

    def _expire_refusal(self) -> None:
        if not self._unanswered:
            self.cut()

    def _time_out(self, part: str, seconds: float) -> None:
        self._refuse(errors.RequestTimeout(f"no complete {part} came within {seconds:g} s"))

    # Refusals

    def _refuse(self, error: errors.BrokerError) -> None:
        """Answer with a refusal once the requests before it are answered; then close."""
        self._registry.warn(error.code, f"a request is refused: {error}", self.address)
        fails_in_body = self._phase is _BODY
        self._request_id = request_id_of(self.headers or ())
        self._phase, self._refusal = _REFUSED, error
        if fails_in_body:
            scope: Mapping[str, Any] = self.cycle.scope
            self._request_id = scope.get("request_id") or request_id_of(scope["headers"])
            self._end_request()
        if not self._unanswered:
            self._send_refusal()

    def _end_request(self) -> None:
        """Tell the request whose body failed that no more of it comes.

        The refusal is its answer, unless that has begun: then the connection just closes.
        """
        cycle = self.cycle
        if cycle.response_started:
            self._refusal = None
        if cycle.response_complete:
            return
        self._unanswered.pop()
        if self.pipeline and self.pipeline[0][0] is cycle:
            self.pipeline.popleft()
        cycle.disconnected = True
        cycle.message_event.set()
        self.flow.resume_writing()

    def _send_refusal(self) -> None:
        """Send the refusal, and drop what the client still sends, so that it can read it."""
        if self.transport.is_closing():
            return
        self._answers.flush()
        if self._refusal:
            default_headers = self.server_state.default_headers
            self.transport.write(rendered(self._refusal, default_headers, self._request_id))
        self.transport.write_eof()
        self.flow.resume_reading()
        self._deadline = self.loop.time() + LINGER_SECONDS
