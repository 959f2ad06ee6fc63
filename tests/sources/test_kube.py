"""Nodes and pods through the official client, from a server with the published API's shapes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from click.testing import CliRunner
from standins.http_servers import FAULTS, Server

from rq_broker.cli import main
from rq_broker.sources import Misconfigured, SourceFailed
from rq_broker.sources.kube import KubeSource


def node(name: str, *, taints: list[dict[str, str]] | None = None, **spec: Any) -> dict[str, Any]:
    labels = {"kubernetes.io/hostname": name, "pool": "big", "topology.kubernetes.io/zone": "a"}
    return {
        "metadata": {"name": name, "uid": f"node-{name}", "labels": labels},
        "spec": {"providerID": f"lab://{name}"} | ({"taints": taints} if taints else {}) | spec,
        "status": {
            "capacity": {"cpu": "4", "memory": "16Gi", "pods": "110"},
            "allocatable": {
                "cpu": "3920m",
                "memory": "15922092Ki",
                "ephemeral-storage": "94992122264",
                "hugepages-2Mi": "0",
                "nvidia.com/gpu": "2",
                "pods": "110",
            },
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def pod(uid: str, on: str | None, phase: str = "Running", **requests: str) -> dict[str, Any]:
    container = {"name": "main", "image": "x", "resources": {"requests": requests}}
    placed = {"nodeName": on} if on else {}
    return {
        "metadata": {"name": uid, "namespace": "lab", "uid": uid},
        "spec": {"containers": [container]} | placed,
        "status": {"phase": phase},
    }


class Cluster:
    """Answers list requests as the API server does: in pages, filtered, in its shapes."""

    def __init__(self) -> None:
        self.nodes: list[dict[str, Any]] = []
        self.pods: list[dict[str, Any]] = []
        self.tokens: list[str] = []

    def answer(
        self, path: str, headers: Mapping[str, str], _body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        url = urlsplit(path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        self.tokens.append(headers.get("authorization", ""))
        kind = {"/api/v1/nodes": "Node", "/api/v1/pods": "Pod"}[url.path]
        items = self.nodes if kind == "Node" else self.selected(query.get("fieldSelector", ""))
        start, limit = int(query.get("continue", 0)), int(query["limit"])
        metadata: dict[str, Any] = {"resourceVersion": "1000", "continue": ""}
        if start + limit < len(items):
            remaining = len(items) - start - limit
            metadata |= {"continue": str(start + limit), "remainingItemCount": remaining}
        page = {
            "kind": f"{kind}List",
            "apiVersion": "v1",
            "metadata": metadata,
            "items": items[start : start + limit],
        }
        return 200, {}, json.dumps(page).encode()

    def selected(self, selector: str) -> list[dict[str, Any]]:
        excluded = {part.removeprefix("status.phase!=") for part in selector.split(",")}
        return [pod for pod in self.pods if pod["status"]["phase"] not in excluded]


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def server(cluster: Cluster) -> Iterator[Server]:
    server = Server(cluster.answer)
    yield server
    server.stop()


@pytest.fixture
def kubeconfig(tmp_path: Path, server: Server) -> str:
    path = tmp_path / "kubeconfig"
    settings = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "lab",
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "broker"}}],
        "clusters": [{"name": "lab", "cluster": {"server": server.url}}],
        "users": [{"name": "broker", "user": {"token": "secret"}}],
    }
    path.write_text(json.dumps(settings))
    return str(path)


@pytest.fixture
async def source(kubeconfig: str) -> AsyncIterator[KubeSource]:
    source = KubeSource(kubeconfig=kubeconfig, page=3, timeout=60)
    yield source
    await source.close()


async def test_a_host_is_a_node_with_what_its_pods_request(
    cluster: Cluster, source: KubeSource
) -> None:
    """Allocatable is rounded down, the sum of requests up; labels are aggregates."""
    cluster.nodes = [node("n1")]
    cluster.pods = [
        pod("p1", "n1", cpu="250m", memory="100M"),
        pod("p2", "n1", "Pending", cpu="1", memory="64Mi", **{"nvidia.com/gpu": "1"}),
    ]
    (host,) = (await source.snapshot()).hosts
    assert host.name == "n1"
    assert host.capacity == {
        "MilliCPU": 3920,
        "Memory": 15548,
        "Disk": 88,
        "nvidia.com.gpu": 2,
        "Pods": 110,
    }
    assert host.used == {"MilliCPU": 1250, "Memory": 160, "nvidia.com.gpu": 1, "Pods": 2}
    assert host.aggregates == {
        "kubernetes.io/hostname=n1",
        "pool=big",
        "topology.kubernetes.io/zone=a",
    }
    assert host.traits == host.aggregates
    assert set(cluster.tokens) == {"Bearer secret"}


async def test_a_label_that_is_a_flag_is_a_trait_by_its_name(
    cluster: Cluster, source: KubeSource
) -> None:
    """Roles and discovered features are named without their empty or true value; others are not."""
    avx, role = "feature.node.kubernetes.io/cpu-cpuid.AVX512F", "node-role.kubernetes.io/worker"
    cluster.nodes = [node("n1")]
    cluster.nodes[0]["metadata"]["labels"] = {avx: "true", role: "", "pool": "big"}
    (host,) = (await source.snapshot()).hosts
    assert host.traits == {f"{avx}=true", avx, f"{role}=", role, "pool=big"}
    assert host.aggregates == {f"{avx}=true", f"{role}=", "pool=big"}


async def test_pages_are_read_to_the_end(
    cluster: Cluster, source: KubeSource, server: Server
) -> None:
    """Lists longer than a page are read whole, by the continue token."""
    cluster.nodes = [node(f"n{number}") for number in range(7)]
    cluster.pods = [pod(f"p{number}", f"n{number % 7}", cpu="1") for number in range(14)]
    snapshot = await source.snapshot()
    assert [host.used["Pods"] for host in snapshot.hosts] == [2] * 7
    assert len(server.log) == 3 + 5


async def test_finished_and_unplaced_pods_use_nothing(cluster: Cluster, source: KubeSource) -> None:
    """A pod that has ended, waits for a node, or is on a node left out, is not counted."""
    cluster.nodes = [node("n1"), node("n2", unschedulable=True)]
    cluster.pods = [
        pod("p1", "n1", "Succeeded", cpu="1"),
        pod("p2", "n1", "Failed", cpu="1"),
        pod("p3", None, "Pending", cpu="1"),
        pod("p4", "n2", cpu="1"),
    ]
    (host,) = (await source.snapshot()).hosts
    assert host.used == {}


async def test_cordoned_and_tainted_nodes_are_left_out(
    cluster: Cluster, source: KubeSource
) -> None:
    """A cordon, NoSchedule or NoExecute closes a node, and the snapshot says so; PreferNoSchedule
    does not."""
    cluster.nodes = [
        node("cordoned", unschedulable=True),
        node("tainted", taints=[{"key": "k", "effect": "NoSchedule"}]),
        node("lost", taints=[{"key": "k", "effect": "NoExecute"}]),
        node("avoided", taints=[{"key": "k", "effect": "PreferNoSchedule"}]),
    ]
    snapshot = await source.snapshot()
    assert [host.name for host in snapshot.hosts] == ["avoided"]
    assert snapshot.out_of_service == {
        "cordoned": "cordoned",
        "tainted": "tainted k",
        "lost": "tainted k",
    }


async def test_tolerated_taints_close_no_node(cluster: Cluster, kubeconfig: str) -> None:
    """`tolerate` opens the nodes whose taints all have one of these keys."""
    cluster.nodes = [
        node("gpu", taints=[{"key": "nvidia.com/gpu", "effect": "NoSchedule"}]),
        node(
            "not-ready",
            taints=[
                {"key": "nvidia.com/gpu", "effect": "NoSchedule"},
                {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"},
            ],
        ),
    ]
    source = KubeSource(kubeconfig=kubeconfig, tolerate=["nvidia.com/gpu"])
    snapshot = await source.snapshot()
    assert [host.name for host in snapshot.hosts] == ["gpu"]
    assert snapshot.out_of_service == {"not-ready": "tainted node.kubernetes.io/not-ready"}
    await source.close()


async def test_a_watched_pod_has_its_share(cluster: Cluster, source: KubeSource) -> None:
    """A watched pod's share is its request, rounded down; an unknown pod has none."""
    cluster.nodes = [node("n1")]
    cluster.pods = [pod("p1", "n1", cpu="250m", memory="100M"), pod("p2", "n1", cpu="1")]
    snapshot = await source.snapshot(frozenset({"p1", "gone"}))
    share = {("n1", "MilliCPU"): 250, ("n1", "Memory"): 95, ("n1", "Pods"): 1}
    assert snapshot.consumers == {"p1": share, "gone": {}}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_is_named_and_the_next_snapshot_is_whole(
    cluster: Cluster, source: KubeSource, server: Server, fault: str
) -> None:
    """Each fault of the API server has its cause, and leaves no trace when it has ended."""
    cluster.nodes = [node("n1")]
    server.fault = fault
    if fault == "silent":
        source.timeout = 0.1
    with pytest.raises(SourceFailed) as failed:
        await source.snapshot()
    assert failed.value.cause == FAULTS[fault]
    assert len(server.log) == 1
    source.timeout, server.fault = 60, ""
    assert len((await source.snapshot()).hosts) == 1


async def test_an_expired_page_is_a_failure(
    cluster: Cluster, source: KubeSource, server: Server
) -> None:
    """A continue token that has expired (410) fails the snapshot instead of halving it."""
    cluster.nodes = [node(f"n{number}") for number in range(4)]
    answer = cluster.answer
    server.answer = lambda path, headers, body: (
        (410, {}, b"{}") if "continue=" in path else answer(path, headers, body)
    )
    with pytest.raises(SourceFailed, match="410"):
        await source.snapshot()


def test_a_missing_kubeconfig_is_reported_at_once(tmp_path: Path) -> None:
    """A login that is not there fails when the source is opened."""
    with pytest.raises(Misconfigured, match="kubernetes' settings"):
        KubeSource(kubeconfig=str(tmp_path / "none"))


async def test_a_name_that_is_too_long_costs_the_node_nothing_else(
    cluster: Cluster, source: KubeSource
) -> None:
    """A label over 255 bytes and a resource over 64 are left out and told; the node stays."""
    long = node("n1")
    long["metadata"]["labels"]["l" * 253 + "/" + "n" * 63] = "v"
    long["status"]["allocatable"]["r" * 100 + "/gpu"] = "1"
    cluster.nodes = [long, node("n2")]
    snapshot = await source.snapshot()
    assert [host.name for host in snapshot.hosts] == ["n1", "n2"]
    assert snapshot.hosts[0].capacity == snapshot.hosts[1].capacity
    assert len(snapshot.hosts[0].aggregates) == 3
    assert snapshot.left_out.keys() == {"n1"}


def test_check_source_tells_what_it_sees_and_which_right_is_missing(
    cluster: Cluster, server: Server, kubeconfig: str, tmp_path: Path
) -> None:
    """The command counts hosts and requests, and names the verb that a login without it needs."""
    table = f'[[source]]\ntype = "vm"\nkind = "kube"\nkubeconfig = "{kubeconfig}"\n'
    (tmp_path / "sources.toml").write_text(table)
    command = ["check-source", str(tmp_path / "sources.toml")]
    cluster.nodes = [node("n1"), node("n2")]
    seen = CliRunner().invoke(main, command)
    assert (seen.exit_code, "hosts: 2: n1, n2" in seen.output) == (0, True)
    assert "cost: 2 requests" in seen.output
    server.answer = lambda _path, _headers, _body: (403, {}, b"{}")
    refused = CliRunner().invoke(main, command)
    assert refused.exit_code == 2
    assert "refused): kubernetes list_node: 403" in refused.output
    assert "it needs the verb list on nodes and pods" in refused.output
