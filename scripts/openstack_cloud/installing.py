"""Installs what the cloud runs on: OpenStack into .venv/openstack, two servers from Debian.

It says what it installs, asks for nothing, and does nothing where all is there. Takes about a
minute and 0.7 GB, once.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

PACKAGES = (
    "keystone==30.0.0",
    "openstack-placement==16.0.0",
    "glance==33.0.0",
    "nova==34.0.0",
    "waitress==3.0.2",
    "PyMySQL==1.2.0",
)
"""What is asked of the Python registry; what these ask for comes along."""
DEBIAN = {"mariadbd": "mariadb-server", "rabbitmqctl": "rabbitmq-server"}
"""Program → package of Debian that brings it."""
FOLDER = Path(sys.prefix) / "openstack"
"""The virtual environment of the services, beside the other servers in .venv."""
CONSTRAINTS = Path(__file__).parents[2] / ".ci" / "openstack-constraints.txt"
"""The versions of everything that comes along, so that each installation is the same."""
DRIVER = Path(__file__).with_name("compute_driver.py")
SYSTEM_FOLDERS = "/usr/sbin:/sbin"
"""Where Debian puts servers; not on the PATH of everybody."""


class NotInstallable(Exception):
    """The cloud cannot run here; carries a sentence for people."""


def install(say: Callable[[str], None] = print) -> Path:
    """Install what is missing; return the folder of the virtual environment.

    Args:
        say: Called with a sentence before each step that takes time.

    Raises:
        NotInstallable: A step failed, or needs root.
    """
    FOLDER.parent.mkdir(parents=True, exist_ok=True)
    with FOLDER.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two runs at once would tear each other's environment
        _install_servers(say)
        _install_services(say)
    return FOLDER


def find(program: str) -> str | None:
    """Return the path of a program, looked for where Debian puts servers too."""
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:{SYSTEM_FOLDERS}")


def _install_servers(say: Callable[[str], None]) -> None:
    packages = [package for program, package in DEBIAN.items() if not find(program)]
    if not packages:
        return
    names = " and ".join(packages)
    if os.geteuid() != 0 or not find("apt-get"):
        raise NotInstallable(f"{names} are missing. As root: apt-get install {' '.join(packages)}")
    say(f"installing {names} with apt-get …")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    apt = ["apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=120"]
    _run([*apt, "update"], environment)
    _run([*apt, "install", "--no-install-recommends", *packages], environment)


def _install_services(say: Callable[[str], None]) -> None:
    installed = FOLDER / ".installed"
    wanted = CONSTRAINTS.read_text()
    if not installed.exists() or installed.read_text() != wanted:
        names = ", ".join(PACKAGES[:4])
        say(f"installing {names} into {FOLDER} (a minute, 0.6 GB) …")
        _run([sys.executable, "-m", "venv", "--clear", str(FOLDER)])
        pip = [str(FOLDER / "bin" / "python"), "-m", "pip", "install", "-q"]
        _run([*pip, "--constraint", str(CONSTRAINTS), *PACKAGES])
        installed.write_text(wanted)
    # Nova loads compute drivers from its own package only.
    for package in FOLDER.glob("lib/python*/site-packages/nova/virt"):
        (package / DRIVER.name).write_bytes(DRIVER.read_bytes())


def _run(command: list[str], environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, env=environment, check=False,
    )  # fmt: skip
    if done.returncode:
        raise NotInstallable(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}")
