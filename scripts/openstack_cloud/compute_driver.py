"""Nova's fake hypervisor for compute processes of their own. Runs in nova-compute.

Its size comes from the environment. Nova's own fake draws a new identity for its node in each
process, and forgets its guests at a restart; this one keeps the first and answers for the second.
"""

from __future__ import annotations

import os
from typing import Any

from nova import exception
from nova.compute import power_state
from nova.virt import fake, hardware


class Driver(fake.PredictableNodeUUIDDriver):  # type: ignore[misc]  # nova has no type hints
    """A host of CLOUD_VCPUS, CLOUD_MEMORY_MB and CLOUD_DISK_GB."""

    vcpus = int(os.environ.get("CLOUD_VCPUS", "4"))
    memory_mb = int(os.environ.get("CLOUD_MEMORY_MB", "8192"))
    local_gb = int(os.environ.get("CLOUD_DISK_GB", "100"))

    # The names of the arguments are Nova's.

    def get_info(self, instance: Any, use_cache: bool = True) -> Any:
        """Answer for guests of before a restart as well: they run."""
        try:
            return super().get_info(instance, use_cache)
        except exception.InstanceNotFound:
            return hardware.InstanceInfo(state=power_state.RUNNING)

    def post_live_migration(self, context: Any, instance: Any, *_: Any, **__: Any) -> None:
        """Forget a guest that has moved away, which the fake leaves out."""
        self.destroy(context, instance, None)

    def post_live_migration_at_destination(
        self, context: Any, instance: Any, *_: Any, **__: Any
    ) -> None:
        """Know a guest that has moved here, which the fake leaves out."""
        self.spawn(context, instance, None, None, None, None)

    def get_nodenames_by_uuid(self, refresh: bool = False) -> dict[str, str]:
        """Name the one node by the identity that the cloud has chosen."""
        del refresh
        (node,) = self.get_available_nodes()
        return {os.environ["CLOUD_NODE_UUID"]: node}
