"""The openb trace as a queue."""

from __future__ import annotations

from pathlib import Path

import pytest
from replaying.files import BadLog
from replaying.openb import Trace, read_trace

NODES = """sn,cpu_milli,memory_mib,gpu,model
openb-node-0000,64000,262144,2,P100
openb-node-0022,128000,786432,8,G3
openb-node-0026,96000,393216,8,G2
"""
HEADER = (
    "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,"
    "creation_time,deletion_time,scheduled_time\n"
)


def pod(gpus: int, created: int, deleted: int, scheduled: object = "", cpu: int = 1000) -> str:
    """Write a row of the table of pods."""
    return f"pod,{cpu},0,{gpus},460,,LS,Running,{created},{deleted},{scheduled}\n"


def read(path: Path, *pods: str, nodes: str = NODES, first_day: float = 0) -> Trace:
    """Write a trace, and read it for two nodes with eight GPUs."""
    (path / "nodes").write_text(nodes)
    (path / "pods").write_text(HEADER + "".join(pods))
    return read_trace(path / "nodes", path / "pods", 2, 8, first_day)


def test_the_nodes_are_the_largest_with_so_many_gpus(tmp_path: Path) -> None:
    """All nodes of the queue are like the largest node of the trace with eight GPUs."""
    hosts = read(tmp_path, pod(1, 0, 9)).hosts
    assert [host.capacity for host in hosts] == [{"CPU": 128000, "memory": 786432, "GPU": 8}] * 2


def test_a_pod_holds_whole_gpus_for_as_long_as_it_ran(tmp_path: Path) -> None:
    """A pod runs from its start, or without one from its creation; a part of a GPU is a whole."""
    trace = read(tmp_path, pod(2, 10, 90, 40), pod(1, 5, 25))
    assert [(job.submitted, job.run_time) for job in trace.demands] == [(5, 20), (10, 50)]
    demands = [demand.instances for demand in trace.demands.values()]
    assert demands == [((("CPU", 1000), ("GPU", gpus)),) for gpus in (1, 2)]


def test_pods_that_are_not_replayed(tmp_path: Path) -> None:
    """Pods before the first day, without GPUs, without a run time or too large are left out."""
    day = 86400
    pods = [pod(0, day, 2 * day), pod(1, 0, day), pod(1, day, day), pod(1, day, 2 * day, cpu=10**6)]
    kept = pod(3, day, 2 * day)
    assert [job.processors for job in read(tmp_path, *pods, kept, first_day=1).demands] == [3]


@pytest.mark.parametrize(
    ("row", "nodes", "sentence"),
    [
        ("pod,much\n", NODES, r"pods, line 2: is no row of the trace: "),
        (pod(1, 0, 9), "sn,gpu\nn,8\n", r"nodes, line 2: is no row of the trace: 'cpu_milli'"),
        (pod(1, 0, 9), NODES.replace(",8,", ",4,"), r"nodes has no node with 8 GPUs"),
        (pod(1, 0, 0), NODES, r"pods has no pod with GPUs from day 0 on that fits such a node"),
    ],
)
def test_a_trace_at_fault_is_named(tmp_path: Path, row: str, nodes: str, sentence: str) -> None:
    """The error names the file, and the line that is no node or pod."""
    with pytest.raises(BadLog, match=sentence):
        read(tmp_path, row, nodes=nodes)
