"""Nodes and pods of a Kubernetes cluster, through the official client.

Tested against a server that answers in the published API's shapes, never on a real cluster: not its
logins beyond a token (certificates, exec and OIDC plugins are the client's), not its speed with
thousands of nodes. Known to be missing: a pod resized in place counts with its present request, and
devices that resource claims (DRA) allocate are not counted.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import orjson
from kubernetes import config
from kubernetes.client import ApiClient, ApiException, Configuration, CoreV1Api
from urllib3.exceptions import HTTPError, MaxRetryError, ReadTimeoutError

from rq_broker.domain.capacity import Host
from rq_broker.sources.failures import (
    STATUS_FAILURES,
    Faulty,
    Misconfigured,
    SourceFailed,
    Unreachable,
)
from rq_broker.sources.pods import Quantities, capacity, requests_of, share, used
from rq_broker.sources.source import Source, SourceSnapshot, next_sequence
from rq_broker.sources.trimming import trimmed

UNFINISHED = "status.phase!=Succeeded,status.phase!=Failed"
"""Field selector of the pods that count: finished ones use nothing."""
CLOSING_EFFECTS = {"NoSchedule", "NoExecute"}
"""Effects of a taint that keep new pods off a node; PreferNoSchedule does not."""
NO_ANSWER = (MaxRetryError, ReadTimeoutError)

Json = Mapping[str, Any]


class KubeSource(Source):
    """Lists all nodes and all unfinished pods for every snapshot, `page` at a time.

    A host is a node: its capacity is what is allocatable, its used what its unfinished pods
    request, its aggregates and traits are its labels as `label=value`; a label whose value is empty
    or `true` (a role, a feature that node feature discovery found) is a trait by its name as well.
    Cordoned nodes, and nodes with a taint
    NoSchedule or NoExecute, are left out. Amounts are whole numbers and pods request fractions of a
    core, so CPU is counted in thousandths of a core, as `MilliCPU`; memory is `Memory` (MiB),
    ephemeral-storage `Disk` (GiB), pods `Pods`. Any other resource keeps its name and unit, with
    `.` for `/`: `nvidia.com.gpu`. A label over 255 bytes, and a resource over 64, is left
    out of its node and told as trouble of the source.
    """

    naming = "uuid"

    def __init__(
        self,
        *,
        kubeconfig: str | None = None,
        context: str | None = None,
        tolerate: Sequence[str] = (),
        page: int = 500,
        timeout: float = 10.0,
    ) -> None:
        """Read the login; nothing is sent yet.

        Args:
            kubeconfig: Path of the kubeconfig. Without it and `context`, the pod's service account
                where the broker runs in a cluster, else the client's default kubeconfig.
            context: The context of the kubeconfig; its current one where left out.
            tolerate: Keys of taints that do not close a node, such as `nvidia.com/gpu`.
            page: Nodes or pods in one answer.
            timeout: Seconds to wait for a connection, and for each piece of an answer.

        Raises:
            Misconfigured: There is no such login.
        """
        self.api = CoreV1Api(_client(kubeconfig, context))
        self.tolerate = frozenset(tolerate)
        self.page = page
        self.timeout = timeout
        self._thread = ThreadPoolExecutor(1, "rq-broker-kube")
        self._requests_sent = 0

    @property
    def requests_sent(self) -> int:
        """Number of requests so far."""
        return self._requests_sent

    async def snapshot(self, watch: frozenset[str] = frozenset()) -> SourceSnapshot:
        """List nodes and pods once; `watch` names pods by their UID."""
        sequence = next_sequence()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._snapshot, watch, sequence)

    async def close(self) -> None:
        """Close the connections and abandon the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        self.api.api_client.close()

    def _snapshot(self, watch: frozenset[str], sequence: int) -> SourceSnapshot:
        try:
            nodes = list(self._list(self.api.list_node))
            closed = {node["metadata"]["name"]: self._why_closed(node) for node in nodes}
            out_of_service = {name: why for name, why in closed.items() if why}
            nodes = [node for node in nodes if node["metadata"]["name"] not in out_of_service]
            pods = self._list(self.api.list_pod_for_all_namespaces, field_selector=UNFINISHED)
            snapshot = _snapshot_of(nodes, pods, watch, sequence)
            return replace(snapshot, out_of_service=out_of_service)
        except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise Faulty(f"kubernetes answered in an unknown shape: {error!r}") from error

    def _list(self, method: Callable[..., Any], **options: str) -> Iterator[Json]:
        """Yield the items of all pages.

        The answers are read as JSON: the client's own objects cost ten times as much CPU.
        """
        token = ""
        while True:
            self._requests_sent += 1
            page = _get(
                method,
                limit=self.page,
                _preload_content=False,
                _request_timeout=self.timeout,
                **options | ({"_continue": token} if token else {}),
            )
            yield from page["items"]
            token = page["metadata"].get("continue")
            if not token:
                return

    def _why_closed(self, node: Json) -> str:
        """Return why the node takes no new pods; '' if it does."""
        if node["spec"].get("unschedulable"):
            return "cordoned"
        closing = [
            taint["key"]
            for taint in node["spec"].get("taints") or ()
            if taint["effect"] in CLOSING_EFFECTS and taint["key"] not in self.tolerate
        ]
        return f"tainted {', '.join(closing)}" if closing else ""


def _snapshot_of(
    nodes: Sequence[Json], pods: Iterable[Json], watch: frozenset[str], sequence: int
) -> SourceSnapshot:
    requests: dict[str, list[Quantities]] = {node["metadata"]["name"]: [] for node in nodes}
    consumers: dict[str, dict[tuple[str, str], int]] = {uid: {} for uid in watch}
    for pod in pods:
        node_name, uid = pod["spec"].get("nodeName"), pod["metadata"]["uid"]
        if node_name not in requests:  # it waits for a node, or its node is left out
            continue
        request = requests_of(pod)
        requests[node_name].append(request)
        if uid in watch:
            consumers[uid] = {
                (node_name, resource): amount for resource, amount in share(request).items()
            }
    hosts, left_out = trimmed(_host(node, requests[node["metadata"]["name"]]) for node in nodes)
    return SourceSnapshot(hosts, consumers, left_out=left_out, sequence=sequence)


def _host(node: Json, requests: Iterable[Quantities]) -> Host:
    labels = node["metadata"].get("labels") or {}
    return Host(
        node["metadata"]["name"],
        capacity=capacity(node),
        used=used(requests),
        aggregates=frozenset(f"{label}={value}" for label, value in labels.items()),
        traits=frozenset(_traits_of(labels)),
    )


def _traits_of(labels: Mapping[str, str]) -> Iterator[str]:
    """Yield each label as `label=value`, and by its name alone if it is a flag.

    Flags are roles, whose value is empty, and what node feature discovery found, which is `true`.
    """
    for label, value in labels.items():
        yield f"{label}={value}"
        if value in ("", "true"):
            yield label


def _client(kubeconfig: str | None, context: str | None) -> ApiClient:
    settings = Configuration()
    loader: Any = config  # the client's type hints leave these functions out
    try:
        if kubeconfig or context or "KUBERNETES_SERVICE_HOST" not in os.environ:
            loader.load_kube_config(kubeconfig, context, settings)
        else:
            loader.load_incluster_config(settings)
    except (config.ConfigException, OSError) as error:
        raise Misconfigured(f"kubernetes' settings: {error}") from error
    settings.retries = 0  # the next snapshot is the retry
    return ApiClient(settings)


def _get(method: Callable[..., Any], **options: Any) -> Json:
    try:
        answer: Json = orjson.loads(method(**options).data)
    except (ApiException, HTTPError) as error:
        raise _failure_of(f"kubernetes {method.__name__}", error) from error
    return answer


def _failure_of(call: str, error: Exception) -> SourceFailed:
    if isinstance(error, ApiException):
        failure = STATUS_FAILURES.get(error.status or 0, Faulty)
        advice = "; it needs the verb list on nodes and pods" if error.status == 403 else ""
        return failure(f"{call}: {error.status} {error.reason}{advice}")
    failure = Unreachable if isinstance(error, NO_ANSWER) else Faulty
    return failure(f"{call}: {error or type(error).__name__}")
