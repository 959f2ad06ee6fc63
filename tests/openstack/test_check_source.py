"""`rq-broker check-source` tells what a login sees of the whole cloud, and what it lacks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from openstack_cloud import Cloud
from openstack_cloud.broker import ROOT
from openstack_cloud.identity import Login

TABLE = '[[source]]\ntype = "vm"\nkind = "placement"\ncloud = "lab"\n'


def check_source(folder: Path, login: Login, expected: int) -> str:
    """Run the command with a login; return what it prints, if its exit status is as expected."""
    clouds, table = folder / "clouds.yaml", folder / "sources.toml"
    clouds.write_text(json.dumps({"clouds": {"lab": login}}))  # JSON is YAML
    table.write_text(TABLE)
    done = subprocess.run(
        [sys.executable, "-m", "rq_broker", "check-source", str(table)],
        env={**os.environ, "OS_CLIENT_CONFIG_FILE": str(clouds), "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == expected, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("kind", ["password", "application credential"])
def test_what_is_there_is_told_with_its_cost(kind: str, cloud: Cloud, tmp_path: Path) -> None:
    """Hosts, aggregates, amounts and requests are told with either login, and nothing is missing;
    a host that is disabled is not among them."""
    cloud.aggregate("gold", "c1", "c2")
    cloud.disable("c4")
    by_password = kind == "password"
    login = cloud.login_as("broker") if by_password else cloud.application_credential("broker")
    answer = check_source(tmp_path, login, 0)
    assert "hosts: 3: c1, c2, c3\n" in answer
    assert "aggregates: 1: gold (2)\n" in answer
    assert "VCPU 12 (0 used)\n" in answer
    assert " requests, " in answer


def test_a_region_that_is_not_there_is_told(cloud: Cloud, tmp_path: Path) -> None:
    """The name of a region that the catalogue does not have is in the sentence."""
    login = {**cloud.login_as("broker"), "region_name": "nowhere"}
    answer = check_source(tmp_path, login, 2)
    assert "(misconfigured): keystone: " in answer
    assert "placement service in nowhere region not found" in answer


def test_a_role_that_may_not_read_is_told_with_the_one_that_may(
    cloud: Cloud, tmp_path: Path
) -> None:
    """A reader is told what it may not read, and which roles may."""
    answer = check_source(tmp_path, cloud.login_as("reader"), 2)
    assert "(refused): placement /allocation_candidates" in answer
    assert "it needs the role admin or service in a project; this login has reader in" in answer


def test_an_admin_of_the_system_is_told_to_log_in_to_a_project(
    cloud: Cloud, tmp_path: Path
) -> None:
    """Placement refuses the role admin on the system, and the sentence tells where it counts."""
    login = cloud.login_as("admin")
    login["auth"] = {
        name: value for name, value in login["auth"].items() if not name.startswith("project_")
    }
    login["auth"]["system_scope"] = "all"
    answer = check_source(tmp_path, login, 2)
    assert "(refused): placement /allocation_candidates" in answer
    assert "it needs the role admin or service in a project; this login has admin, " in answer
    assert answer.endswith(" on the system, which is no project\n")


def test_a_stopped_nova_is_told(cloud: Cloud, tmp_path: Path) -> None:
    """Without Nova the hosts are listed, and it is told that states and names are missing."""
    cloud.aggregate("gold", "c1")
    cloud.stop("nova-api")
    answer = check_source(tmp_path, cloud.login_as("broker"), 1)
    assert "hosts: 4: c1, c2, c3, c4\n" in answer
    for part in ("the names of aggregates", "which computes are up"):
        assert f"missing: {part} cannot be read" in answer
