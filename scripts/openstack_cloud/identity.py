"""Who may log in: projects, users, roles, the catalogue of services, application credentials.

Every user's password is the user's name: nothing but loopback reaches this cloud.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import openstack
from openstack.connection import Connection

from openstack_cloud.layout import OTHER_REGION, REGION, Layout

Login = dict[str, Any]
"""What clouds.yaml holds of one cloud."""
USERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "nova": ("service", ("admin", "service")),
    "placement": ("service", ("admin", "service")),
    "glance": ("service", ("admin", "service")),
    "broker": ("service", ("admin",)),
    "service": ("service", ("service",)),
    "manager": ("service", ("manager",)),
    "member": ("service", ("member",)),
    "reader": ("service", ("reader",)),
    "alice": ("lab", ("member",)),
    "admin": ("lab", ("admin",)),
}
"""User → project and roles in it. `broker` is what the broker's source logs in with, `alice` a user
of the cloud, `admin` its operator; the others have the role that they are named for."""
CATALOGUE = (
    ("placement", "placement", REGION, "placement", ""),
    ("placement", "placement", OTHER_REGION, "placement2", ""),
    ("nova", "compute", REGION, "nova-api", "/v2.1"),
    ("glance", "image", REGION, "glance", ""),
    ("neutron", "network", REGION, "neutron", ""),
)
"""Name, type, region, part of the layout, and path of each service."""
INTERFACES = ("public", "internal", "admin")
COMPUTE_API = "2.90"
"""Microversion of Nova that connections speak: it knows `host` and networks "none"."""


def password(layout: Layout, user: str, project: str = "", region: str = REGION) -> Login:
    """Return the login of a user by password, in a project if not in the user's own."""
    auth = {
        "auth_url": layout.keystone,
        "username": user,
        "password": user,
        "project_name": project or USERS[user][0],
        "user_domain_name": "Default",
        "project_domain_name": "Default",
    }
    return {"auth_type": "password", "auth": auth, "region_name": region}


def application_credential(login: Login, **options: Any) -> Login:
    """Create an application credential with the login of its user; return its own login.

    `options` are those of Keystone, such as `roles` and `expires_at`.
    """
    with connect(login) as connection:
        keystone: Any = connection.identity  # version 3, which the type does not say
        created = keystone.create_application_credential(
            connection.current_user_id, str(uuid4()), **options
        )
        auth = {
            "auth_url": login["auth"]["auth_url"],
            "application_credential_id": created.id,
            "application_credential_secret": created.secret,
        }
    region = login["region_name"]
    return {"auth_type": "v3applicationcredential", "auth": auth, "region_name": region}


def delete_application_credential(owner: Login, credential: Login) -> None:
    """Delete an application credential, with its owner's login by password."""
    with connect(owner) as connection:
        keystone: Any = connection.identity
        keystone.delete_application_credential(
            connection.current_user_id, credential["auth"]["application_credential_id"]
        )


def connect(login: Login) -> Connection:
    """Connect with a login; neither files nor variables of the machine are read."""
    with warnings.catch_warnings():
        # openstacksdk warns that InfluxDB is not installed, which only its metrics need.
        warnings.filterwarnings("ignore", message="Support for InfluxDB")
        return openstack.connect(
            load_yaml_config=False,
            load_envvars=False,
            compute_default_microversion=COMPUTE_API,
            **login,
        )


def make(layout: Layout) -> None:
    """Make projects, users, roles and catalogue, in a Keystone that is only bootstrapped."""
    with connect(password(layout, "admin", "admin")) as connection:
        keystone: Any = connection.identity
        domain = keystone.find_domain("Default", ignore_missing=False).id
        keystone.create_region(id=OTHER_REGION)
        roles = {role.name: role for role in keystone.roles()}
        for name in {role for _, names in USERS.values() for role in names} - roles.keys():
            roles[name] = keystone.create_role(name=name)
        projects = {
            name: keystone.create_project(name=name, domain_id=domain)
            for name in {project for project, _ in USERS.values()}
        }
        users = {user.name: user for user in keystone.users()}
        for name, (project, role_names) in USERS.items():
            user = users.get(name) or keystone.create_user(
                name=name, password=name, domain_id=domain
            )
            for role in role_names:
                keystone.assign_project_role_to_user(projects[project], user, roles[role])
        services = {}
        for name, type_, region, part, path in CATALOGUE:
            if name not in services:
                services[name] = keystone.create_service(name=name, type=type_)
            for interface in INTERFACES:
                keystone.create_endpoint(
                    service_id=services[name].id, interface=interface,
                    url=layout.url(part) + path, region_id=region,
                )  # fmt: skip
