"""scripts/gpus.py: the arrivals and the rules of the openb trace, and policies on a few nodes."""

from __future__ import annotations

from pathlib import Path
from random import Random

import gpus
import pytest
from gpu_packing.cluster import State, after, choices
from gpu_packing.policies import best_fit, dot_product, gradient_descent
from gpu_packing.trace import Pod, arrivals, read_pods

NODES = """sn,cpu_milli,memory_mib,gpu,model
openb-node-0000,64000,262144,2,P100
openb-node-0001,64000,262144,2,T4
openb-node-0022,128000,786432,8,G3
"""
PODS = """name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time
openb-pod-0000,12000,16384,1,1000,,LS,Running,0
openb-pod-0001,6000,12288,1,460,P100|T4,LS,Running,1
openb-pod-0005,20000,65536,0,0,,LS,Running,2
openb-pod-0017,8000,32768,2,1000,,LS,Running,3
"""


@pytest.fixture
def tables(tmp_path: Path) -> tuple[Path, Path]:
    """Write the tables of a small trace."""
    nodes, pods = tmp_path / "nodes.csv", tmp_path / "pods.csv"
    nodes.write_text(NODES)
    pods.write_text(PODS)
    return nodes, pods


def test_pods_arrive_until_so_much_was_asked_for(tables: tuple[Path, Path]) -> None:
    """Every pod of the list comes once, others more often; the sum stays within what was asked."""
    pods = read_pods(tables[1])
    assert [pod.total for pod in pods] == [1000, 460, 0, 2000]
    arriving = arrivals(pods, 15_600, Random(1))
    assert set(arriving) == set(pods)
    assert 13_600 < sum(pod.total for pod in arriving) <= 15_600


def test_a_pod_is_on_one_gpu_or_on_whole_ones_of_its_models() -> None:
    """A part goes to any GPU that has it free, several GPUs only where so many are free."""
    state = State(64_000, 262_144, (300, 1000, 1000), "T4")
    assert choices(state, Pod(1000, 1, 1, 400, ("T4",))) == [(1,), (2,)]
    assert choices(state, Pod(1000, 1, 1, 400, ("P100",))) == []
    assert choices(state, Pod(1000, 1, 2, 1000, ())) == [(1, 2)]
    assert choices(state, Pod(1000, 1, 3, 1000, ())) == []
    assert after(state, Pod(1000, 1, 1, 300, ()), (0,)).gpus == (0, 1000, 1000)


def test_the_published_policies_score_as_their_simulator_does() -> None:
    """Best fit and dot product prefer fuller nodes; FGD keeps whole GPUs whole."""
    empty = State(128_000, 786_432, (1000,) * 8, "G3")
    part = State(64_000, 786_432, (500, 1000), "G3")
    pod = Pod(16_000, 1, 1, 500, ())
    assert best_fit(empty, pod)[0] == int(100 * (1 - (112 / 128 + 7.5 / 8) / 2))
    assert best_fit(part, pod) == (int(100 * (1 - (48 / 128 + 1 / 8) / 2)), (0,))
    assert dot_product(part, pod)[0] > dot_product(empty, pod)[0]
    fgd = gradient_descent([pod, Pod(8000, 1, 1, 1000, ())])
    assert fgd(part, pod)[0] > fgd(empty, pod)[0]
    assert fgd(part, pod)[1] == (0,)


def test_every_policy_places_the_same_arrivals(
    tables: tuple[Path, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table has a row for each policy, none of which gives away more than there is."""
    monkeypatch.setattr("sys.argv", ["gpus.py", *map(str, tables), "--orders", "2"])
    gpus.main()
    rows = capsys.readouterr().out.splitlines()[4:]
    assert [line.split("|")[1].strip() for line in rows] == [
        *("random", "dot product", "best fit", "FGD", "ours")
    ]
    shares = [float(line.split("|")[2]) for line in rows]
    assert all(80.0 < share <= 100.0 for share in shares)


def test_no_trace_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is no trace ends the script with a sentence."""
    (tmp_path / "x").write_text("sn,gpu\nn,8\n")
    monkeypatch.setattr("sys.argv", ["gpus.py", str(tmp_path / "x"), str(tmp_path / "x")])
    with pytest.raises(SystemExit):
        gpus.main()
