"""MariaDB and RabbitMQ of one cloud, on loopback, with their data in its directory."""

from __future__ import annotations

import getpass
import subprocess
from pathlib import Path

from openstack_cloud.installing import find
from openstack_cloud.layout import LOOPBACK, Layout
from openstack_cloud.processes import Processes

RABBITMQ = "/usr/lib/rabbitmq/bin/rabbitmq-server"
"""Debian's `rabbitmq-server` on PATH insists on a user of its own; this is what it calls."""


def start_mariadb(layout: Layout, processes: Processes) -> None:
    """Start MariaDB on the data of `data/mariadb`; data is made where there is none."""
    data = layout.path("data", "mariadb")
    common = ["--no-defaults", f"--user={getpass.getuser()}", f"--datadir={data}"]
    if not data.exists():
        install = ["mariadb-install-db", *common, "--skip-test-db"]
        method = "--auth-root-authentication-method=normal"
        done = subprocess.run([*install, method], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"mariadb-install-db failed:\n{done.stdout}{done.stderr}")
    processes.start(
        "mariadb",
        [
            find("mariadbd") or "mariadbd",
            *common,
            f"--socket={_socket(layout)}",
            f"--pid-file={layout.path('run', 'mariadb.pid')}",
            f"--bind-address={LOOPBACK}",
            f"--port={layout.ports['mariadb']}",
            # The data needs to survive no power cut, so that nothing waits for the disk.
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-flush-method=nosync",
            "--innodb-doublewrite=0",
            "--sync-frm=0",
            "--innodb-buffer-pool-size=128M",
            "--innodb-log-file-size=16M",
            "--max-connections=500",
        ],
    )


def sql(layout: Layout, statement: str) -> None:
    """Run statements of SQL as MariaDB's root."""
    client = ["mariadb", "--no-defaults", "-uroot", "-S", str(_socket(layout)), "-e", statement]
    subprocess.run(client, check=True, capture_output=True)


def _socket(layout: Layout) -> Path:
    return layout.path("run", "mariadb.sock")


def start_rabbitmq(layout: Layout, processes: Processes) -> None:
    """Start RabbitMQ, empty at the first start."""
    data, etc = layout.path("data", "rabbitmq"), layout.path("etc")
    processes.start(
        "rabbitmq",
        [RABBITMQ],
        HOME=str(layout.path("home")),  # of the cookie that its programs know each other by
        ERL_CRASH_DUMP=str(layout.path("log", "erl_crash.dump")),  # not where the script runs
        ERL_EPMD_ADDRESS=LOOPBACK,
        ERL_EPMD_PORT=str(layout.ports["epmd"]),
        RABBITMQ_NODENAME="cloud@localhost",
        RABBITMQ_DIST_PORT=str(layout.ports["rabbitmq-peers"]),
        RABBITMQ_MNESIA_BASE=str(data),
        RABBITMQ_LOG_BASE=str(layout.path("log", "rabbitmq")),
        RABBITMQ_CONFIG_FILE=str(etc / "rabbitmq.conf"),
        RABBITMQ_ENABLED_PLUGINS_FILE=str(etc / "rabbitmq-plugins"),
        RABBITMQ_CONF_ENV_FILE="/dev/null",
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=(
            "-kernel inet_dist_use_interface {127,0,0,1} +S 1:1 +sbwt none"
        ),
    )
