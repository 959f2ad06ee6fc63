"""Serves one WSGI service of the cloud: `applications.py SERVICE PORT CONFIGURATION`.

Runs in the services' own environment.
"""

from __future__ import annotations

import importlib
import os
import sys

from waitress import serve

APPLICATIONS = {
    "keystone": "keystone.wsgi.api",
    "placement": "placement.wsgi.api",
    "glance": "glance.wsgi.api",
    "nova-api": "nova.wsgi.osapi_compute",
}
"""Service → the module whose `application` is served."""
FOLDERS = {
    "keystone": "OS_KEYSTONE_CONFIG_DIR",
    "placement": "OS_PLACEMENT_CONFIG_DIR",
    "glance": "OS_GLANCE_CONFIG_DIR",
    "nova-api": "OS_NOVA_CONFIG_DIR",
}
"""Service → the variable that names its folder of configuration."""
THREADS = 8


def main(service: str, port: int, folder: str) -> None:
    """Serve until the process ends."""
    os.environ[FOLDERS[service]] = folder
    sys.argv = [service]  # the applications parse it themselves
    application = importlib.import_module(APPLICATIONS[service]).application
    serve(application, listen=f"127.0.0.1:{port}", threads=THREADS)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
