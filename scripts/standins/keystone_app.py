"""Runs Keystone: `keystone_app.py FOLDER PORT [token_expiration]`.

Its own WSGI application, on SQLite with fernet tokens, served by waitress; in a virtual environment
of its own, since its packages change how the clients' libraries log. Prints its port, and ends with
standard input, so none outlives its parent.
"""

from __future__ import annotations

import os
import subprocess
import sys
from base64 import urlsafe_b64encode
from pathlib import Path
from threading import Thread

from keystone.server.wsgi import initialize_public_application
from waitress.server import BaseWSGIServer, create_server

CONFIGURATION = """[DEFAULT]
log_file = {folder}/keystone.log
[database]
connection = sqlite:///{folder}/keystone.sqlite
sqlite_synchronous = false
[token]
expiration = {expiration}
[fernet_tokens]
key_repository = {folder}/fernet
[fernet_receipts]
key_repository = {folder}/fernet
[credential]
key_repository = {folder}/credential
[identity]
password_hash_rounds = 4
"""


def manage(config: Path, *words: str) -> None:
    """Run a command of keystone-manage; its options and the server's do not fit in one process."""
    command = Path(sys.executable).with_name("keystone-manage")
    output = subprocess.DEVNULL
    subprocess.run([command, "--config-file", config, *words], check=True, stdout=output)


def new_keys(folder: Path) -> None:
    """Write what `keystone-manage fernet_setup` does: the staged key 0 and the primary key 1."""
    folder.mkdir(mode=0o700)
    for number in range(2):
        (folder / str(number)).write_bytes(urlsafe_b64encode(os.urandom(32)))


def serve(folder: Path, port: int, expiration: str) -> None:
    config = folder / "keystone.conf"
    fresh = not config.exists()
    config.write_text(CONFIGURATION.format(folder=folder, expiration=expiration))
    if fresh:
        new_keys(folder / "fernet")
        new_keys(folder / "credential")
        manage(config, "db_sync")
        manage(config, "bootstrap", "--bootstrap-password", "admin")
    sys.argv = ["keystone", "--config-file", str(config)]
    application = initialize_public_application()
    server = create_server(application, host="127.0.0.1", port=port, threads=8)
    assert isinstance(server, BaseWSGIServer)  # several addresses would make another class
    print(server.getsockname()[1], flush=True)
    Thread(target=server.run, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else "3600")
