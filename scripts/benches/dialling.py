"""What a callback to a receiver with TLS takes of CPU where each one needs a dial."""

from __future__ import annotations

import ssl
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import uvloop

from benches import kit
from benches.kit import Figure, Size
from rq_broker.delivery.http import tls_sessions
from rq_broker.delivery.http.sender import Sender
from rq_broker.egress.rules import Egress
from rq_broker.store.embedded import free_port

TRUSTED = "authority.pem"
"""File in the folder of the receiver: what its certificate is signed by."""
_PATH = "/cb"
_PAIRS = 5


def tls(size: Size) -> list[Figure]:
    """CPU of callbacks to a receiver that closes each connection: sessions resumed, and not."""
    port, count = free_port(), size.of(1000, 200)
    with TemporaryDirectory() as folder, kit.process(*kit.role("tls_sink", port, folder)):
        kit.until_serves(port)
        context = ssl.create_default_context(cafile=str(Path(folder) / TRUSTED))
        measure = partial(_cpu, port, context, count)
        resumed, whole = kit.turns(
            _PAIRS, partial(measure, resumes=True), partial(measure, resumes=False)
        )
    name = "tls: CPU of a callback that dials, resuming a session, against not"
    value = kit.against([x * 1e6 for x in resumed], [x * 1e6 for x in whole], "µs")
    return [kit.rated(name, value, kit.ratios(resumed, whole))]


def _cpu(port: int, context: ssl.SSLContext, count: int, *, resumes: bool) -> float:
    """Return the seconds of CPU of a callback, sent one after the other."""

    async def work() -> float:
        url = f"https://127.0.0.1:{port}{_PATH}"
        async with Sender(Egress.of(allow=["127.0.0.0/8"]), tls=context) as sender:
            await sender.post(url, b"{}", {})
            started = time.process_time()
            for _ in range(count):
                outcome = await sender.post(url, b"{}", {})
                if outcome.kind != "ok":
                    raise RuntimeError(f"a callback ended in {outcome.cause}")
            return (time.process_time() - started) / count

    with patch.object(tls_sessions, "LIFE_S", tls_sessions.LIFE_S if resumes else -1.0):
        return uvloop.run(work())
