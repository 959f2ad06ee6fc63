"""`rq-broker grafana` and `alerts`: they use metrics that exist, and fire when they should."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.cli.checkers import promtool
from tests.cli.running import invoke
from tests.metrics import table

METRICS = table()
SELECTOR = re.compile(r"(rq_broker_\w+)(?:\{([^}]*)\})?")
OTHERS = {"le", "instance", "job"}
"""Labels that Prometheus, or a histogram, adds."""


def _printed(command: str) -> str:
    result = invoke(command)
    assert result.exit_code == 0, result.output
    return result.output


def _dashboard() -> list[str]:
    panels = json.loads(_printed("grafana"))["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def _alerts() -> list[str]:
    exprs = re.findall(r"expr: (?:\|\n((?: {10}.*\n)+)|(.+)\n)", _printed("alerts"))
    return [block or line for block, line in exprs]


def _used(expr: str) -> Iterator[tuple[str, set[str]]]:
    """Yield the metrics of a query, each with the labels by which it is selected."""
    for name, selector in SELECTOR.findall(expr):
        base = re.sub(r"_(bucket|count|sum)$", "", name)
        yield base, set(re.findall(r"(\w+)\s*[=!]", selector))


@pytest.mark.parametrize("command", ["grafana", "alerts"])
def test_every_query_is_of_metrics_that_exist(command: str) -> None:
    """No panel and no alert names a metric, or one of its labels, that the page does not list."""
    exprs = _dashboard() if command == "grafana" else _alerts()
    assert len(exprs) >= 15
    used = [pair for expr in exprs for pair in _used(expr)]
    assert {name for name, _ in used} <= METRICS.keys()
    for name, labels in used:
        assert labels <= METRICS[name][0] | OTHERS, name
    groupings = [by for expr in exprs for by in re.findall(r"\bby \(([^)]*)\)", expr)]
    known = OTHERS.union(*(labels for labels, _ in METRICS.values()))
    assert {label for by in groupings for label in by.split(", ")} <= known


def test_what_matters_is_on_the_dashboard() -> None:
    """Every histogram and counter is on a panel or in an alert: none is told for nobody."""
    used = {name for expr in (*_dashboard(), *_alerts()) for name, _ in _used(expr)}
    counted = {name for name, (_, kind) in METRICS.items() if kind in ("counter", "histogram")}
    assert counted <= used


def test_the_dashboard_can_be_imported() -> None:
    """Panels have ids of their own and do not overlap, and every query has a source to choose."""
    board = json.loads(_printed("grafana"))
    panels = board["panels"]
    assert [panel["id"] for panel in panels] == [*range(1, len(panels) + 1)]
    places = [panel["gridPos"] for panel in panels]
    cells = [
        (x, y)
        for place in places
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    names = {variable["name"] for variable in board["templating"]["list"]}
    assert set(re.findall(r"\$\{?(\w+)", json.dumps(board))) - {"__rate_interval", "__all"} == names


def test_prometheus_reads_every_query(tmp_path: Path) -> None:
    """promtool parses the alerts, and each query of the dashboard as a rule of its own."""
    (tmp_path / "alerts.yml").write_text(_printed("alerts"))
    rules = [
        {
            "record": f"panel:{number}",
            "expr": expr.replace("$type", ".*").replace("$__rate_interval", "5m"),
        }
        for number, expr in enumerate(_dashboard())
    ]
    groups = {"groups": [{"name": "dashboard", "rules": rules}]}
    (tmp_path / "dashboard.yml").write_text(json.dumps(groups))
    said = promtool("check", "rules", *map(str, sorted(tmp_path.glob("*.yml"))))
    assert f"{len(rules)} rules found" in said
    assert said.count("SUCCESS") == 2


Series = dict[str, str]
WELL: Series = {
    'rq_broker_ready{instance="a"}': "1x60",
    "rq_broker_notifiers": "2x60",
    "rq_broker_types_unserved": "0x60",
    "rq_broker_types_failing": "0x60",
    "rq_broker_sources_stale": "0x60",
    "rq_broker_redis_evicts": "0x60",
    'rq_broker_oldest_wait_seconds{type="vm"}': "60x60",
    'rq_broker_breakers_open{type="vm"}': "0x60",
    'rq_broker_callbacks_total{outcome="ok"}': "0+60x60",
    'rq_broker_offers_missed_total{type="vm"}': "0x60",
    "rq_broker_audit_faults": "0x60",
    "rq_broker_audit_timestamp_seconds": "0x60",
}
TROUBLE: Sequence[tuple[str, Series, Series]] = [
    ("RqBrokerDown", {'rq_broker_ready{instance="a"}': "1x5 stale"}, {}),
    ("RqBrokerNotReady", {'rq_broker_ready{instance="a"}': "1x5 0x55"}, {"instance": "a"}),
    ("RqBrokerNoNotifier", {"rq_broker_notifiers": "2x5 0x55"}, {}),
    ("RqBrokerTypesUnserved", {"rq_broker_types_unserved": "0x5 1x55"}, {}),
    (
        "RqBrokerOldestWait",
        {'rq_broker_oldest_wait_seconds{type="vm"}': "86000+60x60"},
        {"type": "vm"},
    ),
    ("RqBrokerSourceStale", {"rq_broker_sources_stale": "0x5 1x55"}, {}),
    ("RqBrokerBreakerOpen", {'rq_broker_breakers_open{type="vm"}': "0x5 1x55"}, {"type": "vm"}),
    ("RqBrokerAuditFaults", {"rq_broker_audit_faults": "0x5 3x55"}, {}),
    (
        "RqBrokerCallbacksFail",
        {
            'rq_broker_callbacks_total{outcome="ok"}': "0+1x60",
            'rq_broker_callbacks_total{outcome="retry"}': "0+9x60",
        },
        {},
    ),
]


def _case(name: str, series: Series, labels: Series, *, fires: bool) -> dict[str, Any]:
    """Make one test of promtool: whether an alert fires at the end of an hour."""
    alert = re.search(
        rf"alert: {name}\n(?:.*\n)*?\s+labels: {{severity: (\w+)}}", _printed("alerts")
    )
    assert alert
    said = [{"exp_labels": {"severity": alert[1], **labels}}] if fires else []
    return {
        "interval": "1m",
        "name": f"{name} {fires}",
        "input_series": [{"series": key, "values": text} for key, text in series.items()],
        "alert_rule_test": [{"eval_time": "50m", "alertname": name, "exp_alerts": said}],
    }


def test_alerts_fire_in_trouble_only(tmp_path: Path) -> None:
    """Each of the alerts that wake somebody fires in its trouble, and none while all is well."""
    rules = re.sub(r"annotations:\n(?: {10,}.*\n)+", "annotations: {}\n", _printed("alerts"))
    (tmp_path / "alerts.yml").write_text(rules)
    cases = [_case(name, WELL | series, labels, fires=True) for name, series, labels in TROUBLE]
    for name in re.findall(r"alert: (\w+)", rules):
        cases.append(_case(name, WELL, {}, fires=False))
    tests = {"rule_files": ["alerts.yml"], "evaluation_interval": "1m", "tests": cases}
    (tmp_path / "tests.yml").write_text(json.dumps(tests))
    assert "SUCCESS" in promtool("test", "rules", str(tmp_path / "tests.yml"))
