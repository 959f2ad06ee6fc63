"""Runs the Placement service: `placement_app.py DATABASE PORT [option=number …]`.

Its own WSGI app, on SQLite and with `auth_strategy = noauth2` (the token is the user's name),
served by waitress. Prints its port, and ends with standard input, so none outlives its parent.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from threading import Thread

from oslo_config import cfg
from placement import conf, db_api, deploy
from placement.db.sqlalchemy import migration
from waitress.server import BaseWSGIServer, create_server


def serve(database: str, port: int, options: Mapping[str, str]) -> None:
    fresh = not Path(database).exists()
    config = cfg.ConfigOpts()
    conf.register_opts(config)
    config.set_override("auth_strategy", "noauth2", "api")
    config.set_override("connection", f"sqlite:///{database}", "placement_database")
    config.set_override("sqlite_synchronous", False, "placement_database")
    for name, value in options.items():
        config.set_override(name, int(value), "placement")
    config([], project="placement", default_config_files=[])
    db_api.configure(config)
    if fresh:
        migration.upgrade("head")
    server = create_server(deploy.loadapp(config), host="127.0.0.1", port=port, threads=8)
    assert isinstance(server, BaseWSGIServer)  # several addresses would make another class
    print(server.getsockname()[1], flush=True)
    Thread(target=server.run, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), dict(pair.split("=") for pair in sys.argv[3:]))
