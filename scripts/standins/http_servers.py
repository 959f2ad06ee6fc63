"""Small HTTP servers on loopback, which answer or fail as a test sets them up."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

Answer = Callable[[str, Mapping[str, str], bytes], tuple[int, dict[str, str], bytes]]
"""Path, headers by lower-case name, body → status, headers, body."""

FAULTS: Mapping[str, str] = {
    "reset": "unreachable",
    "silent": "unreachable",
    "500": "faulty",
    "429": "faulty",
    "401": "refused",
    "403": "refused",
    "torn": "faulty",
    "not json": "faulty",
    "another shape": "faulty",
    "empty": "faulty",
}
"""Fault of a server → the cause that a source must report."""


class Server(ThreadingHTTPServer):
    """Answers with `answer(path, headers, body)`, unless `fault` is one of FAULTS."""

    daemon_threads = True

    def __init__(self, answer: Answer) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer = answer
        self.fault = ""
        self.log: list[str] = []
        self.hook: Callable[[str], None] | None = None
        """Called with the path before a request is answered, one request at a time."""
        self.hook_lock = threading.Lock()
        self.release_silent = threading.Event()
        """Ends the silence of requests that hang in the fault `silent`."""
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Print nothing: in some tests clients hang up."""

    def stop(self) -> None:
        self.release_silent.set()
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with self.server.hook_lock:
            self.server.log.append(self.path)
            if self.server.hook:
                self.server.hook(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        fault = self.server.fault
        if fault == "silent":
            self.server.release_silent.wait(300)
        if fault in {"reset", "silent"}:
            self.close_connection = True
            return
        try:
            status, answer_headers, content = self.server.answer(self.path, headers, body)
        except httpx.TransportError:
            self.close_connection = True
        else:
            self._send(fault, status, answer_headers, content)

    do_POST = do_GET  # noqa: N815 - the names are http.server's

    def _send(self, fault: str, status: int, headers: dict[str, str], content: bytes) -> None:
        wrong_bodies = {"not json": b"<html>busy</html>", "another shape": b"[1]", "empty": b""}
        content = wrong_bodies.get(fault, content)
        self.send_response(int(fault) if fault.isdigit() else status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.close_connection = fault == "torn"
        self.wfile.write(content[: len(content) // 2] if fault == "torn" else content)

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


def canned(answers: Mapping[str, Any]) -> Answer:
    """Answer these paths with their JSON, every other path with 404."""

    def answer(path: str, _headers: Mapping[str, str], _body: bytes) -> Any:
        if path in answers:
            return 200, {}, json.dumps(answers[path]).encode()
        return 404, {}, b'{"message": "not found"}'

    return answer


def forward(client: Callable[[], httpx.Client]) -> Answer:
    """Forward requests to the server of the client that `client` returns."""

    def answer(path: str, headers: Mapping[str, str], _body: bytes) -> Any:
        kept = {
            name: value
            for name, value in headers.items()
            if name in {"x-auth-token", "openstack-api-version", "accept"}
        }
        reply = client().get(path, headers=kept)
        return reply.status_code, {}, reply.content

    return answer
