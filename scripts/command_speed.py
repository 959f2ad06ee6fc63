"""Print how long `rq-broker --help` and a TAB take, and their ratios to a bare Python.

Each is a process of its own, as a shell starts it. The fastest of some rounds counts: a busy
machine only ever adds time. `--rounds` says how many there are.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

LIMITS = {"rq-broker --help": 7.5, "TAB: a command": 10, "TAB: a type, of the server": 10,
          "TAB: a job, of the server": 10}  # fmt: skip
"""Times a bare Python, which takes 20 ms on a quiet machine: 0.15 s and 0.2 s there. Beyond that a
user notices. The TAB without a server waits longer, by design."""
PROGRAM = (sys.executable, "-c", "from rq_broker.cli import main; main(prog_name='rq-broker')")
"""What the console script does."""
CLICK = "import click; click.Group('x')(['--help'])"
NOWHERE = "http://10.255.255.1:9"


class _Answers(BaseHTTPRequestHandler):
    """Answers as the API does, so that the TAB alone is measured."""

    def do_GET(self) -> None:
        """Answer with a type, or with a job."""
        body = b'{"data": {"vm": {}, "gpu": {}}, "ok": true}'
        if self.path.startswith("/v1/vm"):
            body = b'{"data": [{"RequestID": "r1", "Status": "queued"}], "ok": true}'
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def _server() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def _tab(words: str, server: str) -> tuple[Sequence[str], Mapping[str, str]]:
    return PROGRAM, {
        "_RQ_BROKER_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
        "RQ_BROKER_SERVER": server,
    }


def _cases(server: str) -> dict[str, tuple[Sequence[str], Mapping[str, str]]]:
    return {
        "python -c pass": ((sys.executable, "-c", "pass"), {}),
        "click's own --help": ((sys.executable, "-c", CLICK), {}),
        "rq-broker --help": ((*PROGRAM, "--help"), {}),
        "TAB: a command": _tab("rq-broker wi", server),
        "TAB: a type, of the server": _tab("rq-broker show v", server),
        "TAB: a job, of the server": _tab("rq-broker show vm r", server),
        "TAB: a server that is away": _tab("rq-broker show v", NOWHERE),
    }


def _seconds(words: Sequence[str], variables: Mapping[str, str]) -> float:
    start = time.perf_counter()
    subprocess.run(words, env={**os.environ, **variables}, capture_output=True, check=True)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    with _server() as server:
        cases = _cases(server)
        best = dict.fromkeys(cases, float("inf"))
        for _ in range(rounds):
            for name, case in cases.items():
                best[name] = min(best[name], _seconds(*case))
    bare, plain_click = best["python -c pass"], best["click's own --help"]
    print("| what | seconds | × bare Python | limit | × click |\n|---|---:|---:|---:|---:|")
    for name, seconds in best.items():
        ratio, limit = f"{seconds / bare:.1f}", LIMITS.get(name, "")
        print(f"| {name} | {seconds:.3f} | {ratio} | {limit} | {seconds / plain_click:.1f} |")
    if slow := [name for name, limit in LIMITS.items() if best[name] > limit * bare]:
        raise SystemExit(f"too slow: {', '.join(slow)}")


if __name__ == "__main__":
    main()
