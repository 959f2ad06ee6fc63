"""What an operator may set, with its defaults: each an option and an RQ_BROKER_* variable."""

from __future__ import annotations

from dataclasses import dataclass
from socket import getaddrinfo
from urllib.parse import urlsplit

from rq_broker.domain.errors import Invalid
from rq_broker.egress.rules import Egress

SCHEMES = ("redis", "rediss", "unix", "redis+cluster", "rediss+cluster")
LOOPBACK = ("127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Settings:
    """One process's settings."""

    redis: str = "redis://127.0.0.1:6379/0"
    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 1
    insecure: bool = False
    types: tuple[str, ...] = ()
    """Types a notifier serves; empty: every one there is."""
    callback_base: str | None = None
    callback_allow: tuple[str, ...] = ()
    callback_deny: tuple[str, ...] = ()
    callback_ports: tuple[int, ...] = ()
    timeout: float = 10.0
    """Seconds one callback attempt may take, from DNS to the last byte."""
    concurrency: int = 512
    """Callbacks in flight at once, per notifier process."""
    source: str | None = None
    """File that says which sources to poll, see sources.feeds."""

    def __post_init__(self) -> None:
        """Refuse what could never be a Redis."""
        url = urlsplit(self.redis)
        try:
            _ = url.port
        except ValueError:
            raise Invalid(f"--redis {self.redis} names no port from 0 to 65535") from None
        if url.scheme not in SCHEMES:
            raise Invalid(f"--redis {self.redis} must begin with one of {', '.join(SCHEMES)}")

    def check_bind(self) -> None:
        """Refuse to serve strangers: without access control, loopback only."""
        if self.host not in (*LOOPBACK, "localhost") and not self.insecure:
            raise Invalid(
                f"--host {self.host} is not loopback and the API has no access control: "
                "put a proxy that has before it and bind 127.0.0.1, or say --insecure"
            )

    def egress(self, *, own_api: bool = True) -> Egress:
        """Build the rules callbacks obey; our own Redis, and our API, are closed to them."""
        url = urlsplit(self.redis)
        ours = [(each, url.port or 6379) for each in _addresses(url.hostname or "localhost")]
        if own_api:
            ours += [(each, self.port) for each in _addresses(self.host)]
        return Egress.of(
            allow=self.callback_allow,
            deny=self.callback_deny,
            ports=self.callback_ports,
            ours=ours,
        )


def _addresses(host: str) -> list[str]:
    """Find every address of a host; a name nobody knows has none."""
    if host == "localhost":
        return list(LOOPBACK)
    try:
        found = getaddrinfo(host, None)
    except OSError:
        return []
    return sorted({str(address[0]).partition("%")[0] for *_, address in found})
