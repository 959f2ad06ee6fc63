"""Nodes and pods of a Kubernetes cluster, through the official client.

Tested against a server that answers in the published API's shapes, never on a real cluster: not its
logins beyond a token (certificates, exec and OIDC plugins are the client's own), not its speed with
thousands of nodes. Known to be missing: a pod resized in place counts with what it asks for now,
and devices that resource claims (DRA) give away are not seen.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
from kubernetes import config
from kubernetes.client import ApiClient, ApiException, Configuration, CoreV1Api
from urllib3.exceptions import HTTPError, MaxRetryError, ReadTimeoutError

from rq_broker.domain.capacity import Host
from rq_broker.sources import (
    Faulty,
    Misconfigured,
    Missing,
    Refused,
    Source,
    SourceFailed,
    SourceSnapshot,
    Unreachable,
    tick,
)
from rq_broker.sources.pods import Quantities, capacity, requests_of, share, used

UNFINISHED = "status.phase!=Succeeded,status.phase!=Failed"
CLOSING = {"NoSchedule", "NoExecute"}
SILENCES = (MaxRetryError, ReadTimeoutError)

Json = Mapping[str, Any]


class KubeSource(Source):
    """Lists all nodes and all unfinished pods for every snapshot, `page` at a time.

    capacity is what a node has allocatable, used what its unfinished pods request. Nodes that are
    cordoned, or tainted NoSchedule or NoExecute, are out. Each label is an aggregate `label=value`.
    CPU is counted in thousandths of a core, as `MilliCPU`, for pods ask for fractions and amounts
    are whole; memory is `Memory` (MiB), ephemeral-storage `Disk` (GiB), pods `Pods`; any other
    resource keeps its name and unit, with `.` for `/`: `nvidia.com.gpu`.
    """

    def __init__(
        self,
        *,
        kubeconfig: str | None = None,
        context: str | None = None,
        tolerate: Sequence[str] = (),
        page: int = 500,
        timeout: float = 10.0,
    ) -> None:
        """Log in by the kubeconfig, or by the pod's service account where there is none.

        `tolerate`: keys of taints that keep no node out, such as `nvidia.com/gpu`. `timeout`:
        seconds that one page may take to begin.
        """
        self.api = CoreV1Api(_client(kubeconfig, context))
        self.tolerate = frozenset(tolerate)
        self.page = page
        self.timeout = timeout
        self._thread = ThreadPoolExecutor(1, "rq-broker-kube")

    async def snapshot(self, watch: frozenset[str] = frozenset()) -> SourceSnapshot:
        """List once; `watch` names pods by UID."""
        sequence = tick()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._snapshot, watch, sequence)

    async def close(self) -> None:
        """Let go of connections and the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        self.api.api_client.close()

    def _snapshot(self, watch: frozenset[str], sequence: int) -> SourceSnapshot:
        try:
            nodes = [one for one in self._list(self.api.list_node) if self._open(one)]
            found = self._list(self.api.list_pod_for_all_namespaces, field_selector=UNFINISHED)
            return _picture(nodes, found, watch, sequence)
        except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise Faulty(f"kubernetes answered in an unknown shape: {error!r}") from error

    def _list(self, verb: Callable[..., Any], **options: str) -> Iterator[Json]:
        # The answers are read as JSON: the client's own objects cost ten times as much.
        token = ""
        while True:
            page = _ask(
                verb,
                limit=self.page,
                _preload_content=False,
                _request_timeout=self.timeout,
                **options | ({"_continue": token} if token else {}),
            )
            yield from page["items"]
            token = page["metadata"].get("continue")
            if not token:
                return

    def _open(self, node: Json) -> bool:
        taints = node["spec"].get("taints") or ()
        closing = (one for one in taints if one["effect"] in CLOSING)
        return not node["spec"].get("unschedulable") and all(
            one["key"] in self.tolerate for one in closing
        )


def _picture(
    nodes: Sequence[Json], found: Iterable[Json], watch: frozenset[str], sequence: int
) -> SourceSnapshot:
    requests: dict[str, list[Quantities]] = {node["metadata"]["name"]: [] for node in nodes}
    consumers: dict[str, dict[tuple[str, str], int]] = {uid: {} for uid in watch}
    for pod in found:
        node, uid = pod["spec"].get("nodeName"), pod["metadata"]["uid"]
        if node not in requests:
            continue
        request = requests_of(pod)
        requests[node].append(request)
        if uid in watch:
            consumers[uid] = {(node, name): amount for name, amount in share(request).items()}
    hosts = tuple(_host(node, requests[node["metadata"]["name"]]) for node in nodes)
    return SourceSnapshot(hosts, consumers, sequence=sequence)


def _host(node: Json, requests: Iterable[Quantities]) -> Host:
    labels = node["metadata"].get("labels") or {}
    return Host(
        node["metadata"]["name"],
        capacity=capacity(node),
        used=used(requests),
        aggregates=frozenset(f"{label}={value}" for label, value in labels.items()),
    )


def _client(kubeconfig: str | None, context: str | None) -> ApiClient:
    settings = Configuration()
    load: Any = config  # the client leaves its types out here
    try:
        if kubeconfig or context or "KUBERNETES_SERVICE_HOST" not in os.environ:
            load.load_kube_config(kubeconfig, context, settings)
        else:
            load.load_incluster_config(settings)
    except (config.ConfigException, OSError) as error:
        raise Misconfigured(f"kubernetes' settings: {error}") from error
    settings.retries = 0  # the next snapshot is the retry
    return ApiClient(settings)


def _ask(verb: Callable[..., Any], **options: Any) -> Json:
    try:
        answer: Json = orjson.loads(verb(**options).data)
    except (ApiException, HTTPError) as error:
        raise _failure(f"kubernetes {verb.__name__}", error) from error
    return answer


def _failure(call: str, error: Exception) -> SourceFailed:
    if isinstance(error, ApiException):
        text = f"{call}: {error.status} {error.reason}"
        known = {401: Refused, 403: Refused, 404: Missing}
        return known.get(error.status or 0, Faulty)(text)
    text = f"{call}: {error or type(error).__name__}"
    return (Unreachable if isinstance(error, SILENCES) else Faulty)(text)
