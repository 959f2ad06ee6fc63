"""The least Neutron: every collection is empty. `neutron_stub.py PORT`.

Nova asks it when a server is shown or deleted. Runs by itself, on the standard library.
"""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Handler(BaseHTTPRequestHandler):
    """Answers each GET with an empty collection, everything else with 404."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path.split("?")[0].rstrip("/")
        link = {"rel": "self", "href": f"http://{self.headers['host']}/v2.0/"}
        bodies: dict[str, Any] = {
            "": {"versions": [{"id": "v2.0", "status": "CURRENT", "links": [link]}]},
            "/v2.0": {"resources": []},
        }
        name = path.rpartition("/")[2].replace("-", "_").removesuffix(".json")
        self._answer(200, json.dumps(bodies.get(path, {name: []})).encode())

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self._answer(404, b"")

    do_PUT = do_DELETE = do_POST  # noqa: N815 - the names are http.server's

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
