"""`rq-broker deploy`: its files are handed on as they are, and what they run exists."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from rq_broker import __version__
from rq_broker.cli import deploy, main
from rq_broker.settings import Settings
from tests.cli.checkers import compose_services, helm, systemd_analyze
from tests.cli.running import invoke

FOLDER = Path(deploy.__file__).with_name("deployments")
MOST_EXPOSED = 1.5
"""What `systemd-analyze security` may give a unit, from 0 to 10; the units have 1.3, and a service
without any hardening 9.6."""
REDIS = {"url": "redis://redis:6379/0"}

each_target = pytest.mark.parametrize("target", deploy.TARGETS)


def _files(target: str) -> dict[str, str]:
    folder = FOLDER / target
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_text() for path in paths}


def _environment() -> Iterator[tuple[str, str]]:
    """Yield each variable, and its value, that a file sets or proposes."""
    for target in deploy.TARGETS:
        for text in _files(target).values():
            yield from re.findall(r"(RQ_BROKER_[A-Z_]+)(?:=|: )?([^\s{},]*)", text)


def _check(words: list[str]) -> None:
    """Let click parse a command line of `rq-broker`, and check what it would serve on."""
    context = click.Context(main)
    name, *arguments = words
    command = main.get_command(context, name)
    assert command, name
    if isinstance(command, click.Group):
        name, *arguments = arguments
        command = command.commands[name]
    command.make_context(name, arguments)


def _chart(**values: Any) -> tuple[list[str], dict[str, Any]]:
    """Render the chart; return the lint's findings, and kind and component → object."""
    told, texts = helm(FOLDER / "helm", values)
    objects = [
        each
        for name, text in texts.items()
        if name != "NOTES.txt"
        for each in yaml.safe_load_all(text)
        if each
    ]
    component = "app.kubernetes.io/component"
    return told, {
        f"{each['kind']} {each['metadata']['labels'][component]}": each for each in objects
    }


def _container(objects: dict[str, Any], component: str) -> Any:
    return objects[f"Deployment {component}"]["spec"]["template"]["spec"]["containers"][0]


@each_target
def test_files_are_printed_one_after_the_other(target: str) -> None:
    """Without --output each file of the target is printed whole, below its name."""
    shown = invoke("deploy", target).output
    assert len(_files(target)) >= 2
    for name, text in _files(target).items():
        assert f"# ==> {name} <==\n{text}" in shown


@each_target
def test_files_are_written_and_none_is_lost(target: str, tmp_path: Path) -> None:
    """A file that differs is kept, and nothing is written, unless --force is said."""
    command = ("deploy", target, "--output", str(tmp_path / "new"))
    assert invoke(*command).exit_code == 0
    written = [path for path in (tmp_path / "new").rglob("*") if path.is_file()]
    folder = FOLDER / target
    assert {path.relative_to(tmp_path / "new").as_posix() for path in written} == _files(
        target
    ).keys()
    assert invoke(*command).exit_code == 0
    mine, other = sorted(written)[:2]
    mine.write_text("mine")
    other.unlink()
    refused = invoke(*command)
    assert refused.exit_code == 2
    assert mine.name in refused.output
    assert "--force" in refused.output
    assert mine.read_text() == "mine"
    assert not other.exists()
    assert invoke(*command, "--force").exit_code == 0
    assert mine.read_text() == (folder / mine.relative_to(tmp_path / "new")).read_text()


def test_an_unknown_supervisor_is_refused() -> None:
    """It is no command; without one the help names those that there are."""
    refused = invoke("deploy", "nomad")
    assert refused.exit_code == 2
    assert "No such command 'nomad'" in refused.output
    assert all(target in invoke("deploy").output for target in deploy.TARGETS)


def test_every_command_of_a_unit_or_a_comment_parses() -> None:
    """Each `rq-broker …` of units and notes is a command that takes these options."""
    texts = [text for target in deploy.TARGETS for text in _files(target).values()]
    joined = "\n".join(texts).replace("\\\n", " ")
    lines = re.findall(r"[\s/]rq-broker ((?:api|notifier|token)\b.+)$", joined, re.M)
    assert [shlex.split(line)[0] for line in lines].count("token") == 3
    assert {shlex.split(line)[0] for line in lines} == {"api", "notifier", "token"}
    for line in lines:
        _check(shlex.split(line))


def test_every_variable_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each RQ_BROKER_ variable belongs to an option of both or of one, and has a value it takes."""
    context = click.Context(main)
    commands = [main.get_command(context, name) for name in ("api", "notifier")]
    known = {option.envvar for command in commands if command for option in command.params}
    found = dict(_environment())
    assert found.keys() <= known | {"RQ_BROKER_", "RQ_BROKER_REDIS"}
    text = _files("systemd")["rq-broker.env"]
    values = re.findall(r"^#?(RQ_BROKER_\w+)=(.*)$", text, re.M)
    assert len(values) >= 8
    for name, value in values:
        monkeypatch.setenv(name, value)
    _check(["api"])
    _check(["notifier"])


def test_the_version_is_that_of_the_package() -> None:
    """The chart and the image of compose are named by the package's version."""
    chart = yaml.safe_load(_files("helm")["Chart.yaml"])
    assert chart["appVersion"] == chart["version"] == __version__
    assert f"rq-broker:{__version__}" in _files("compose")["compose.yaml"]


def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    """`systemd-analyze verify` says nothing of the units, once the program is there."""
    for name, text in _files("systemd").items():
        (tmp_path / name).write_text(text.replace("/opt/rq-broker/bin/rq-broker", "/bin/true"))
    units = [f"./{name}" for name in _files("systemd") if name.endswith(".service")]
    assert len(units) == 2
    assert systemd_analyze("verify", *units, cwd=tmp_path) == ""


def test_the_units_are_hardened(tmp_path: Path) -> None:
    """`systemd-analyze security` finds little that a unit may do beyond its work."""
    for name in ("rq-broker-api.service", "rq-broker-notifier@.service"):
        unit = tmp_path / name.replace("@", "")
        unit.write_text(_files("systemd")[name])
        told = systemd_analyze("security", "--offline=true", f"./{unit.name}", cwd=tmp_path)
        exposure = re.search(r"exposure level .*: ([\d.]+)", told)
        assert exposure
        assert float(exposure[1]) <= MOST_EXPOSED


def test_compose_runs_what_exists_on_a_redis_that_keeps_all() -> None:
    """The commands of the services parse, and Redis has an append-only file and evicts nothing."""
    services = yaml.safe_load(_files("compose")["compose.yaml"])["services"]
    for name in ("api", "notifier"):
        _check(services[name]["command"])
        assert services[name]["environment"]["RQ_BROKER_REDIS"].startswith("redis://redis:")
    redis = services["redis"]["command"]
    assert redis[redis.index("--appendonly") + 1] == "yes"
    assert redis[redis.index("--maxmemory-policy") + 1] == "noeviction"
    assert "ports" not in services["redis"]


def test_compose_knows_the_file() -> None:
    """A parser of the compose specification, which refuses unknown keys, reads the file."""
    document = yaml.safe_load(_files("compose")["compose.yaml"])
    assert sorted(compose_services(document)) == ["api", "notifier", "redis"]


def test_the_chart_is_whole() -> None:
    """Helm's strict lint finds nothing; probes, disruption budgets and the secret are there."""
    told, objects = _chart(redis=REDIS)
    assert told == []
    assert objects.keys() == {
        "Deployment api", "Deployment notifier", "PodDisruptionBudget api",
        "PodDisruptionBudget notifier", "Secret redis", "Service api",
    }  # fmt: skip
    assert objects["Secret redis"]["stringData"] == {"redis-url": REDIS["url"]}
    container = _container(objects, "api")
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    grace = objects["Deployment api"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace > Settings().grace
    for component in ("api", "notifier"):
        _check(_container(objects, component)["args"])


@pytest.mark.parametrize(
    ("access", "option", "probe"),
    [("tokens", "--tokens", "/healthz"), ("none", "--insecure", "/readyz"),
     ("options", None, "/healthz")],
)  # fmt: skip
def test_the_chart_has_one_access_control(access: str, option: str | None, probe: str) -> None:
    """api.access decides on the option, and readiness asks what needs no identity there."""
    jwt = {"RQ_BROKER_JWT_ISSUER": "https://id.lab", "RQ_BROKER_WORKERS": 2}
    _, objects = _chart(redis=REDIS, api={"access": access, "options": jwt})
    container = _container(objects, "api")
    assert {"--tokens", "--insecure"} & set(container["args"]) == ({option} if option else set())
    assert container["readinessProbe"]["httpGet"]["path"] == probe
    variables = {each["name"]: each.get("value") for each in container["env"]}
    assert variables["RQ_BROKER_WORKERS"] == "2"
    _check(container["args"])


def test_the_chart_takes_secrets_of_others() -> None:
    """With a Secret for Redis it makes none; with one for the probe /readyz decides."""
    redis, api = {"existingSecret": "mine"}, {"probeTokenSecret": "viewer"}
    told, objects = _chart(redis=redis, api=api)
    assert told == []
    assert "Secret redis" not in objects
    pod = objects["Deployment notifier"]["spec"]["template"]["spec"]
    assert pod["volumes"][0]["secret"]["secretName"] == "mine"
    container = _container(objects, "api")
    program = container["readinessProbe"]["exec"]["command"][-1]
    compile(program, "probe", "exec")
    assert "/readyz" in program
    (token,) = [each for each in container["env"] if each["name"] == "PROBE_TOKEN"]
    assert token["valueFrom"]["secretKeyRef"] == {"name": "viewer", "key": "token"}
