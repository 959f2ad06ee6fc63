"""Runs the Placement service: `placement_app.py DATABASE PORT [option=number …] [keystone=URL]`.

Its own WSGI app, on SQLite. Without a Keystone `auth_strategy` is `noauth2` (the token is the
user's name); with one, the user `service` asks it about every token. It is served by waitress.
Prints its port, and ends with standard input, so none outlives its parent.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile
from threading import Thread

from oslo_config import cfg
from placement import conf, db_api, deploy
from placement.db.sqlalchemy import migration
from waitress.server import BaseWSGIServer, create_server


def serve(database: str, port: int, options: Mapping[str, str]) -> None:
    fresh = not Path(database).exists()
    config = cfg.ConfigOpts()
    conf.register_opts(config)
    options = dict(options)
    keystone = options.pop("keystone", "")
    config.set_override("auth_strategy", "keystone" if keystone else "noauth2", "api")
    config.set_override("connection", f"sqlite:///{database}", "placement_database")
    config.set_override("sqlite_synchronous", False, "placement_database")
    for name, value in options.items():
        config.set_override(name, int(value), "placement")
    files = [_settings_for(keystone)] if keystone else []
    config([], project="placement", default_config_files=files)
    db_api.configure(config)
    if fresh:
        migration.upgrade("head")
    server = create_server(deploy.loadapp(config), host="127.0.0.1", port=port, threads=8)
    assert isinstance(server, BaseWSGIServer)  # several addresses would make another class
    print(server.getsockname()[1], flush=True)
    Thread(target=server.run, daemon=True).start()
    sys.stdin.read()


def _settings_for(keystone: str) -> str:
    """Write what Placement needs to ask Keystone about tokens; returns the file's path."""
    lines = (
        "[keystone_authtoken]",
        "auth_type = password",
        f"auth_url = {keystone}",
        f"www_authenticate_uri = {keystone}",
        "user_domain_id = default",
        "project_domain_id = default",
        "project_name = lab",
        "username = service",
        "password = service",
        "interface = public",
        "token_cache_time = -1",  # a token that ends is seen at once
    )
    with NamedTemporaryFile("w", suffix=".conf", delete=False) as file:
        file.write("\n".join(lines))
    return file.name


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), dict(pair.split("=") for pair in sys.argv[3:]))
