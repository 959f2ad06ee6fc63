"""A whole small OpenStack on loopback: for the demonstration, tests/openstack and the chaos script.

`with Cloud(directory) as cloud:` installs what is missing, starts Keystone, Placement, Glance, Nova
and hosts with a fake hypervisor in a minute and 2 GB, and ends them all, also if this process dies.
Its verbs: cloud.py. Logins for clouds.yaml: identity.py. A proxy that delays or cuts: proxy.py.
"""

from openstack_cloud.cloud import Cloud
from openstack_cloud.computes import Size

__all__ = ["Cloud", "Size"]
