"""The real Keystone, on loopback, in a child process.

`scripts/install.sh keystone` installs it; `keystone_app` is the child. Users are named as
their role on the project `lab`: reader, member, manager, service, admin; so are their passwords.
"""

from __future__ import annotations

import os
import subprocess
import sys
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any

import httpx

from standins.children import unmeasured

APP = Path(__file__).with_name("keystone_app.py")
PYTHON = Path(sys.prefix, "servers/keystone/bin/python")
ROLES = ("reader", "member", "manager", "service", "admin")
DOMAINS = {"user_domain_id": "default", "project_domain_id": "default"}


class Keystone:
    """One Keystone and its database."""

    def __init__(self, folder: Path, expiration: int = 3600) -> None:
        if not PYTHON.exists():
            raise RuntimeError("Keystone is not installed: make server")
        self.folder = folder
        self.expiration = expiration
        self.port = 0
        self.users: dict[str, str] = {}
        """Name → UUID."""
        self._tokens: dict[str, dict[str, str]] = {}
        self._services: dict[str, str] = {}
        self._endpoints: dict[tuple[str, str], str] = {}
        self._credentials: dict[str, str] = {}
        self.start()
        self._fill()
        # Whoever checks tokens finds Keystone itself in the catalogue.
        self.endpoint("identity", self.url)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v3"

    def start(self) -> None:
        """Start it, on its port of before if it had one; returns once it answers."""
        self._tokens.clear()
        self.client = httpx.Client(timeout=100)
        self.child = subprocess.Popen(
            [str(PYTHON), str(APP), str(self.folder), str(self.port), str(self.expiration)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=unmeasured(),
        )
        assert self.child.stdout is not None
        line = self.child.stdout.readline()
        if not line:
            self.stop()
            raise RuntimeError(f"Keystone ended: see {self.folder}/keystone.log")
        self.port = int(line)

    def stop(self) -> None:
        """Kill it; its database stays."""
        self.client.close()
        self.child.kill()
        self.child.communicate()

    def auth(self, user: str, **others: str) -> dict[str, str]:
        """Return the `auth` of clouds.yaml for a user's password."""
        named = {"auth_url": self.url, "username": user, "password": user, "project_name": "lab"}
        return named | DOMAINS | others

    def token(self, user: str, project: str = "lab") -> dict[str, str]:
        """Return the headers of a user that is logged in."""
        domain = {"id": "default"}
        login = {"name": user, "password": user, "domain": domain}
        body = {
            "identity": {"methods": ["password"], "password": {"user": login}},
            "scope": {"project": {"name": project, "domain": domain}},
        }
        answer = self.client.post(f"{self.url}/auth/tokens", json={"auth": body})
        answer.raise_for_status()
        return {"X-Auth-Token": answer.headers["X-Subject-Token"]}

    def call(self, method: str, path: str, body: Any = None, user: str = "admin") -> Any:
        """Send a request of a user's; returns the JSON of the answer."""
        if user not in self._tokens:
            self._tokens[user] = self.token(user)
        return self._call(method, path, body, self._tokens[user])

    def _call(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Any:
        answer = self.client.request(method, f"{self.url}{path}", json=body, headers=headers)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def endpoint(self, service: str, url: str, region: str = "RegionOne") -> None:
        """Have the catalogue show a service at a URL, and nowhere else in this region."""
        if region not in [each["id"] for each in self.call("GET", "/regions")["regions"]]:
            self.call("POST", "/regions", {"region": {"id": region}})
        if service not in self._services:
            body = {"service": {"type": service, "name": service}}
            self._services[service] = self.call("POST", "/services", body)["service"]["id"]
        if old := self._endpoints.pop((service, region), None):
            self.call("DELETE", f"/endpoints/{old}")
        new = {"service_id": self._services[service], "interface": "public", "url": url}
        body = {"endpoint": new | {"region_id": region}}
        self._endpoints[service, region] = self.call("POST", "/endpoints", body)["endpoint"]["id"]

    def credential(self, user: str, **settings: Any) -> dict[str, str]:
        """Create an application credential of a user's; returns the `auth` of clouds.yaml."""
        uuid = self.users[user]
        body = {"application_credential": {"name": os.urandom(8).hex(), **settings}}
        path = f"/users/{uuid}/application_credentials"
        made = self.call("POST", path, body, user)["application_credential"]
        self._credentials[made["id"]] = f"{path}/{made['id']}"
        return {
            "auth_url": self.url,
            "application_credential_id": made["id"],
            "application_credential_secret": made["secret"],
        }

    def token_of(self, credential: dict[str, str]) -> dict[str, str]:
        """Return the headers of an application credential that is logged in."""
        id_, secret = (credential[f"application_credential_{part}"] for part in ("id", "secret"))
        login = {"id": id_, "secret": secret}
        identity = {"methods": ["application_credential"], "application_credential": login}
        body = {"auth": {"identity": identity}}
        answer = self.client.post(f"{self.url}/auth/tokens", json=body)
        answer.raise_for_status()
        return {"X-Auth-Token": answer.headers["X-Subject-Token"]}

    def delete_credential(self, auth: dict[str, str], user: str) -> None:
        """Delete an application credential that `credential` returned."""
        self.call("DELETE", self._credentials[auth["application_credential_id"]], user=user)

    def grant_domain_and_system(self, user: str) -> None:
        """Give a user the role admin on its domain and on the system."""
        role = self.call("GET", "/roles?name=admin")["roles"][0]["id"]
        for place in ("domains/default", "system"):
            self.call("PUT", f"/{place}/users/{self.users[user]}/roles/{role}")

    def rotate_keys(self) -> None:
        """Replace the keys of tokens, as rotations do in the end: no token of before is valid."""
        self._tokens.clear()
        keys = self.folder / "fernet"
        for key in keys.iterdir():
            key.write_bytes(urlsafe_b64encode(os.urandom(32)))

    def _fill(self) -> None:
        # Bootstrap has made the user and the project `admin`, and roles.
        headers = self.token("admin", "admin")

        def call(method: str, path: str, body: Any = None) -> Any:
            return self._call(method, path, body, headers)

        services = call("GET", "/services")["services"]
        self._services |= {service["type"]: service["id"] for service in services}
        project = {"project": {"name": "lab", "domain_id": "default"}}
        lab = call("POST", "/projects", project)["project"]["id"]
        roles = {role["name"]: role["id"] for role in call("GET", "/roles")["roles"]}
        self.users["admin"] = call("GET", "/users?name=admin")["users"][0]["id"]
        for name in ROLES:
            if name not in self.users:
                body = {"user": {"name": name, "password": name, "domain_id": "default"}}
                self.users[name] = call("POST", "/users", body)["user"]["id"]
            call("PUT", f"/projects/{lab}/users/{self.users[name]}/roles/{roles[name]}")
