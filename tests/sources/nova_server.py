"""A replacement for Nova that lists Placement's hosts as its computes, a page at a time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from standins.http_servers import Answer, canned
from standins.placement_server import Placement

PAGE = 1000


class Compute(NamedTuple):
    """What Nova says of a compute."""

    state: str = "up"
    status: str = "enabled"
    listed: bool = True


DOWN = Compute(state="down")
DISABLED = Compute(status="disabled")
UNLISTED = Compute(listed=False)


def nova_of(
    placement: Placement,
    answers: Mapping[str, Any],
    computes: Mapping[str, Compute],
    page: int = PAGE,
) -> Answer:
    """Answer as Nova 2.53 does: hypervisors by the UUIDs of Placement's roots.

    Args:
        answers: Path → JSON of what is answered otherwise.
        computes: Host → its compute, where that is not up and enabled.
        page: Computes of one page, unlisted ones included, as Nova counts them.
    """

    def hypervisors(marker: str) -> dict[str, Any]:
        providers = placement.call("GET", "/resource_providers")["resource_providers"]
        roots = [each for each in providers if each["parent_provider_uuid"] is None]
        uuids = [each["uuid"] for each in roots]
        start = uuids.index(marker) + 1 if marker else 0
        rows = []
        for root in roots[start : start + page]:
            compute = computes.get(root["name"], Compute())
            if compute.listed:
                row = {"id": root["uuid"], "hypervisor_hostname": root["name"]}
                rows.append(row | {"state": compute.state, "status": compute.status})
        link = [{"rel": "next", "href": "http://elsewhere/"}]
        return {"hypervisors": rows} | ({"hypervisors_links": link} if len(rows) == page else {})

    def answer(path: str, headers: Mapping[str, str], body: bytes) -> Any:
        url = urlsplit(path)
        if url.path == "/os-hypervisors" and path not in answers:
            assert headers["openstack-api-version"] == "compute 2.53"
            (marker,) = parse_qs(url.query).get("marker", [""])
            return 200, {}, json.dumps(hypervisors(marker)).encode()
        return canned(answers)(path, headers, body)

    return answer
