"""A proxy in front of a service of the cloud that delays, drops or cuts what passes."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, Self

from faulting.proxy import Mode, Proxy

from openstack_cloud.layout import LOOPBACK, free_port


class ServiceProxy:
    """faulting.proxy.Proxy with an event loop of its own; `with ServiceProxy(port) as proxy:`.

    A login is led through it by `placement_endpoint_override`, `compute_endpoint_override` or
    `auth_url`: see Cloud.through.
    """

    def __init__(self, target: int, delay_seconds: float = 3.0) -> None:
        """`target`: the port of the service; `delay_seconds`: what Mode.DELAY adds to a chunk."""
        self.port = free_port()
        self._proxy = Proxy(self.port, target, delay_seconds)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._proxy.start())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._proxy.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def url(self) -> str:
        """The root URL of the service, through this proxy."""
        return f"http://{LOOPBACK}:{self.port}"

    def set(self, mode: Mode) -> None:
        """Treat what passes in this mode from now on; REFUSE ends open connections too."""

        async def change() -> None:
            self._proxy.set(mode)
            if mode is Mode.REFUSE:
                self._proxy.cut_all()

        self._run(change())

    def _run(self, coroutine: Any) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)
