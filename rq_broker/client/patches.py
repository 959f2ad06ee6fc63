"""The calls that change what is named of a policy or a host, and nothing else (RFC 7396)."""

from __future__ import annotations

from typing import Any

from rq_broker.client.call import Call, Json, data_of, path, with_warning


def patch_policy(type_: str, **changes: Any) -> Call[Json]:
    """Change fields of a policy, and within `limits`, `queue_limits` and `share` what is named.

    Args:
        type_: The queue's name.
        **changes: As of `set_policy`; `limits={"lab-7": None}` removes one owner's limit.

    Returns:
        As `policy`, after the change.

    Raises:
        Invalid: A field is unknown or out of bounds; the sentence names it.
    """
    return Call(with_warning, "PATCH", path("types", type_), changes)


def patch_host(type_: str, name: str, **changes: Any) -> Call[Json]:
    """Change figures of a host that was published by `set_host`; the others stay.

    Args:
        type_: The queue's name.
        name: The host.
        **changes: As of `set_host`; `capacity={"GPU": None}` removes one resource.

    Returns:
        As `host`, after the change.

    Raises:
        HostNotFound: The type has no such host in service.
        Conflict: A source reports the host.
    """
    return Call(data_of, "PATCH", path("types", type_, "hosts", name), changes)
