"""The tables of all services: made once, kept beside the packages, copied for each cloud.

Making them takes half a minute, copying a second. The copy holds Keystone's users and its
catalogue too; the catalogue's ports are replaced by those of the cloud.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

from openstack_cloud import configuration, identity, layout, servers
from openstack_cloud.installing import CONSTRAINTS, FOLDER
from openstack_cloud.layout import REGION, Layout
from openstack_cloud.processes import Processes
from openstack_cloud.services import start_service
from openstack_cloud.waiting import until

NAMES = ("keystone", "placement", "placement2", "glance", "nova", "nova_api", "nova_cell0")
KEPT = ("data/mariadb", "etc/fernet", "etc/credential")
"""What a copy consists of: the tables, and the keys of Keystone that belong to them."""
CELL = "{scheme}://{username}:{password}@{hostname}:{port}"
"""A cell's URLs as Nova stores them: its configuration fills in the braces at each start."""
Command = list[str | Path]


def copy_of(target: Layout, say: Callable[[str], None]) -> None:
    """Copy the databases and keys to a cloud's directory; they are made if there are none yet."""
    saved = FOLDER / "databases" / _version()
    saved.parent.mkdir(exist_ok=True)
    with (FOLDER / "databases.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another process may be making or copying them
        if not saved.exists():
            say("making the databases, once (a minute) …")
            _drop_old(saved.parent)
            unfinished = saved.with_suffix(".new")
            shutil.rmtree(unfinished, ignore_errors=True)  # of a run that was interrupted
            with TemporaryDirectory() as directory:
                source = Layout.make(Path(directory))
                _make(source)
                source.path("ports.json").write_text(json.dumps(source.ports))
                _copy(source.directory, unfinished)
            unfinished.rename(saved)
        _copy(saved, target.directory)


def correct_catalogue(target: Layout) -> None:
    """Replace the ports in Keystone's catalogue by those of this cloud. MariaDB must run."""
    saved: dict[str, int] = json.loads(target.path("ports.json").read_text())
    servers.sql(
        target,
        "".join(
            f"UPDATE keystone.endpoint SET url = REPLACE(url, ':{saved[name]}', ':{port}');"
            for name, port in target.ports.items()
        ),
    )


def _copy(source: Path, target: Path) -> None:
    for name in KEPT:
        shutil.copytree(source / name, target / name)
    (target / "ports.json").write_bytes((source / "ports.json").read_bytes())


def _drop_old(folder: Path) -> None:
    """Remove copies of older versions but the newest, which another checkout may use."""
    copies = sorted(folder.iterdir(), key=lambda copy: copy.stat().st_mtime)
    for copy in copies[:-1]:
        shutil.rmtree(copy)


def _version() -> str:
    """Return a digest of what decides what a copy holds."""
    files = (Path(__file__), Path(identity.__file__), CONSTRAINTS)
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def _make(source: Layout) -> None:
    processes = Processes(source.path("log"))
    try:
        configuration.write_all(source, token_seconds=3600)
        servers.start_mariadb(source, processes)
        until(lambda: layout.serves(source.ports["mariadb"]), "MariaDB")
        servers.sql(source, "".join(f"CREATE DATABASE {name};" for name in NAMES))
        servers.sql(source, "CREATE USER cloud@'127.0.0.1' IDENTIFIED BY 'cloud';")
        servers.sql(source, "GRANT ALL ON *.* TO cloud@'127.0.0.1';")
        with ThreadPoolExecutor(2) as pool:  # one for each core of a small machine
            list(pool.map(lambda steps: steps(source), (_make_nova, _make_others)))
        start_service("keystone", source, processes)
        until(lambda: layout.serves(source.ports["keystone"]), "Keystone")
        identity.make(source)
        processes.stop("keystone")
        processes.stop("mariadb", patience=60)
    finally:
        processes.close()


def _make_nova(source: Layout) -> None:
    run: Command = [
        FOLDER / "bin" / "nova-manage",
        "--config-file",
        source.path("etc/nova/nova.conf"),
    ]
    for words in (
        ["api_db", "sync"],
        ["cell_v2", "map_cell0", "--database_connection", f"{CELL}/nova_cell0"],
        ["cell_v2", "create_cell", "--name", "cell1",
         "--database_connection", f"{CELL}/nova", "--transport-url", f"{CELL}//"],
        ["db", "sync"],
    ):  # fmt: skip
        _run([*run, *words])


def _make_others(source: Layout) -> None:
    etc, programs = source.path("etc"), FOLDER / "bin"
    keystone: Command = [
        programs / "keystone-manage",
        "--config-file",
        etc / "keystone/keystone.conf",
    ]
    _run([*keystone, "db_sync"])
    for name in ("fernet", "credential"):
        (etc / name).mkdir(mode=0o700, exist_ok=True)
        _run([*keystone, f"{name}_setup", "--keystone-user", "root", "--keystone-group", "root"])
    urls = [word for kind in ("admin", "internal", "public")
            for word in (f"--bootstrap-{kind}-url", source.keystone)]  # fmt: skip
    password = ["--bootstrap-password", "admin", "--bootstrap-region-id", REGION]
    _run([*keystone, "bootstrap", *password, *urls])
    for name in ("placement", "placement2"):
        file = etc / name / "placement.conf"
        _run([programs / "placement-manage", "--config-file", file, "db", "sync"])
    _run([programs / "glance-manage", "--config-file", etc / "glance/glance-api.conf", "db_sync"])


def _run(command: Command) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        words = " ".join(map(str, command))
        raise RuntimeError(f"{words} failed:\n{(done.stdout + done.stderr)[-3000:]}")
