"""Receivers of callbacks, name servers and certificates: real ones, on loopback, ill-mannered."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Manner = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Receiver:
    """A listening receiver: where it is, and the requests it read, head and body."""

    port: int
    heads: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    connections: int = 0

    def url(self, host: str = "127.0.0.1", path: str = "/hook", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    async def read(self, reader: asyncio.StreamReader) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(
            int(line.split(":")[1])
            for line in head.splitlines()
            if line.lower().startswith("content-length:")
        )
        self.bodies.append(await reader.readexactly(length))
        self.heads.append(head)


@asynccontextmanager
async def receiver(manner: Manner, tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """Serve on a free loopback port: every request is read, then `manner` answers it."""
    tasks: set[asyncio.Task[None]] = set()
    this = Receiver(0)

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        this.connections += 1
        try:
            while not writer.is_closing():
                await this.read(reader)
                await manner(reader, writer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.ensure_future(converse(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    this.port = server.sockets[0].getsockname()[1]
    try:
        yield this
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # aborted transports close on the loop's next turn


def answering(raw: bytes, *, close: bool = False) -> Manner:
    """Answer every request with these bytes."""

    async def manner(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        if close:
            await writer.drain()
            writer.close()

    return manner


def status(code: int, *headers: str, body: bytes = b"") -> Manner:
    """Answer every request with a well-formed response."""
    lines = [f"HTTP/1.1 {code} Said", f"Content-Length: {len(body)}", *headers, "", ""]
    return answering("\r\n".join(lines).encode() + body)


def forever(opening: bytes, more: bytes, pause_s: float = 0.0) -> Manner:
    """Send the opening, then `more` without end."""

    async def manner(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(opening)
        while True:
            writer.write(more)
            await writer.drain()
            await asyncio.sleep(pause_s)

    return manner


Answers = Callable[[str], Iterable[str] | None]
"""Name → addresses; none: no such name; None: silence."""


class NameServer:
    """Answers A and AAAA look-ups, without letting anyone remember them."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.asked: list[str] = []
        """The name of every A look-up."""
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.bind(("127.0.0.1", 0))

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.socket.getsockname()[1]}"

    def drain(self) -> None:
        """Answer all that is there: at one a turn, a burst would overflow the socket."""
        with suppress(BlockingIOError):
            while True:
                self._answer(*self.socket.recvfrom(4096))

    def _answer(self, data: bytes, sender: tuple[str, int]) -> None:
        labels, place = [], 12
        while length := data[place]:
            labels.append(data[place + 1 : place + 1 + length].decode())
            place += length + 1
        question, type_ = data[12 : place + 5], data[place + 2]
        name = ".".join(labels)
        found: Iterable[str] | None = ()
        if type_ == 1:
            self.asked.append(name)
        if type_ == 1 or name.startswith("six"):
            found = self.answers(name)
        if found is not None:
            packed = [ip_address(text).packed for text in found]
            self.socket.sendto(_response(data[:2], question, type_, packed), sender)


def _response(id_: bytes, question: bytes, type_: int, packed: list[bytes]) -> bytes:
    fitting = [raw for raw in packed if len(raw) == (4 if type_ == 1 else 16)]
    head = id_ + struct.pack(">HHHHH", 0x8180, 1, len(fitting), 0, 0)
    records = (struct.pack(">HHHIH", 0xC00C, type_, 1, 0, len(raw)) + raw for raw in fitting)
    return head + question + b"".join(records)


@asynccontextmanager
async def name_server(answers: Answers) -> AsyncIterator[NameServer]:
    """Run a name server on a free loopback port."""
    loop, server = asyncio.get_running_loop(), NameServer(answers)
    loop.add_reader(server.socket, server.drain)
    try:
        yield server
    finally:
        loop.remove_reader(server.socket)
        server.socket.close()


class Authority:
    """A certificate authority of our own, and what trusts it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _common_name("test authority")
        self._certificate = self._sign(self._name, self._key, timedelta(days=1), [], ca=True)

    @property
    def pem(self) -> bytes:
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cadata=self.pem.decode())

    def serves(self, name: str, *, lasts: timedelta = timedelta(hours=1)) -> ssl.SSLContext:
        """Build a server's context with a certificate for a name or an address.

        Negative `lasts`: expired.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(_common_name(name), key, lasts, [_general_name(name)])
        chain = self._folder / f"{name}{lasts.total_seconds()}.pem"
        chain.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        return context

    def _sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        lasts: timedelta,
        names: list[x509.GeneralName],
        *,
        ca: bool = False,
    ) -> x509.Certificate:
        now, issuer = datetime.now(UTC), self._key.public_key()
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=2))
            .not_valid_after(now + lasts)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(_usage(ca), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer), False)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256())


def _general_name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _usage(ca: bool) -> x509.KeyUsage:
    """Build what Python 3.13 and later insist on."""
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Names:
    """Resolves every name to the same addresses, and remembers what it was asked."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.asked: list[str] = []

    async def resolve(self, host: str) -> Sequence[str]:
        self.asked.append(host)
        return self.addresses

    async def close(self) -> None:
        pass
