"""Writes the configuration files of all services into the cloud's directory."""

from __future__ import annotations

from openstack_cloud.installing import FOLDER
from openstack_cloud.layout import LOOPBACK, REGION, Layout

REPORT_SECONDS, DOWN_SECONDS = 2, 15
"""How often a service of Nova says that it lives, and after how long a silence Nova calls it down.
Nova's own figures are 10 and 60, with which a test of a dead host takes a minute. With less than 15
hosts seem down on a busy machine, where a report may be late by ten seconds."""

KEYSTONE = """
[DEFAULT]
log_file = {log}
[database]
connection = {database}
[token]
provider = fernet
expiration = {token_seconds}
[fernet_tokens]
key_repository = {directory}/etc/fernet
[identity]
password_hash_rounds = 4
[credential]
key_repository = {directory}/etc/credential
[fernet_receipts]
key_repository = {directory}/etc/fernet
"""
PLACEMENT = """
[DEFAULT]
log_file = {log}
[api]
auth_strategy = keystone
[placement_database]
connection = {database}
"""
GLANCE = """
[DEFAULT]
log_file = {log}
enabled_backends = file:file
[database]
connection = {database}
[paste_deploy]
flavor = keystone
config_file = {directory}/etc/glance/glance-api-paste.ini
[glance_store]
default_backend = file
[file]
filesystem_store_datadir = {directory}/images
"""
NOVA = """
[DEFAULT]
transport_url = {messages}
my_ip = {loopback}
compute_driver = compute_driver.Driver
report_interval = {report}
periodic_fuzzy_delay = 0
service_down_time = {down}
update_resources_interval = 10
reserved_host_disk_mb = 0
cpu_allocation_ratio = 1.0
ram_allocation_ratio = 1.0
disk_allocation_ratio = 1.0
reclaim_instance_interval = 0
allow_resize_to_same_host = false
[api_database]
connection = {api_database}
[database]
connection = {database}
[api]
auth_strategy = keystone
[wsgi]
api_paste_config = {directory}/etc/nova/api-paste.ini
[quota]
instances = -1
cores = -1
ram = -1
[scheduler]
discover_hosts_in_cells_interval = 5
workers = 1
[conductor]
workers = 1
[filter_scheduler]
track_instance_changes = false
[oslo_concurrency]
lock_path = {directory}/run/lock
[vnc]
enabled = false
[oslo_messaging_rabbit]
heartbeat_in_pthread = false
"""
COMPUTE = """
[DEFAULT]
host = {host}
state_path = {state}
log_file = {log}
"""
RABBITMQ = """
listeners.tcp.1 = {loopback}:{port}
vm_memory_high_watermark.relative = 0.2
"""


def write_all(layout: Layout, token_seconds: int) -> None:
    """Write the files of all services but the computes.

    Args:
        layout: Where the parts are.
        token_seconds: How long a token of Keystone is valid.
    """
    values = {"directory": layout.directory, "loopback": LOOPBACK, "token_seconds": token_seconds}
    _write(layout, "keystone/keystone.conf", KEYSTONE, "keystone", values)
    for name in ("placement", "placement2"):
        text = PLACEMENT + _checks_tokens(layout, "placement", "placement")
        _write(layout, f"{name}/placement.conf", text, name, values)
    glance = GLANCE + _checks_tokens(layout, "glance", "image")
    _write(layout, "glance/glance-api.conf", glance, "glance", values)
    (layout.path("etc", "nova")).mkdir(exist_ok=True)
    _copy_of_package(layout, "glance/glance-api-paste.ini")
    _copy_of_package(layout, "nova/api-paste.ini")
    values |= {
        "messages": messages(layout),
        "api_database": layout.database("nova_api"),
        "report": REPORT_SECONDS,
        "down": DOWN_SECONDS,
    }
    nova = NOVA + "".join(
        f"[{section}]\n{extra}{_login(layout, 'nova')}"
        for section, extra in (
            ("placement", ""),
            ("glance", ""),
            ("neutron", ""),
            ("service_user", "send_service_user_token = true\n"),
        )
    )
    nova += _checks_tokens(layout, "nova", "compute")
    _write(layout, "nova/nova.conf", nova, "nova", values)
    rabbitmq = RABBITMQ.format(loopback=LOOPBACK, port=layout.ports["rabbitmq"])
    layout.path("etc", "rabbitmq.conf").write_text(rabbitmq)
    layout.path("etc", "rabbitmq-plugins").write_text("[].")


def write_compute(layout: Layout, host: str, node: str) -> None:
    """Write what nova-compute of one host reads beside nova.conf; `node` is its node's UUID."""
    state = layout.path("state", host)
    state.mkdir(exist_ok=True)
    # Without this file nova-compute refuses its second start: the node is known, the file is not.
    (state / "compute_id").write_text(node)
    text = COMPUTE.format(host=host, state=state, log=layout.log(host))
    layout.path("etc", "nova", f"{host}.conf").write_text(text)


def messages(layout: Layout) -> str:
    """Return the URL at which services of Nova talk to each other."""
    return f"rabbit://guest:guest@{LOOPBACK}:{layout.ports['rabbitmq']}//"


def _write(layout: Layout, name: str, text: str, service: str, values: dict[str, object]) -> None:
    file = layout.path("etc", name)
    file.parent.mkdir(exist_ok=True)
    database = {"nova-api": "nova"}.get(service, service)
    file.write_text(
        text.format(log=layout.log(service), database=layout.database(database), **values)
    )


def _copy_of_package(layout: Layout, name: str) -> None:
    layout.path("etc", name).write_bytes((FOLDER / "etc" / name).read_bytes())


def _login(layout: Layout, user: str) -> str:
    return (
        f"auth_url = {layout.keystone}\n"
        "auth_type = password\n"
        "project_domain_name = Default\n"
        "user_domain_name = Default\n"
        "project_name = service\n"
        f"username = {user}\npassword = {user}\n"
        f"region_name = {REGION}\n"
    )


def _checks_tokens(layout: Layout, user: str, service_type: str) -> str:
    return (
        f"[keystone_authtoken]\nwww_authenticate_uri = {layout.keystone}\n"
        f"service_type = {service_type}\n{_login(layout, user)}"
    )
