"""`rq-broker grafana` and `rq-broker alerts`: a dashboard for Grafana, alert rules for Prometheus.

The dashboard is made of the table below: a row of panels a line, each panel of one or more queries.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any, NamedTuple

import click

TITLE = "rq-broker"
_UID = "rq-broker"
"""Names the dashboard in a Grafana: one that is imported again replaces the one before."""
_HEIGHT, _WIDTH = 8, 24
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_OF_TYPE = '{type=~"$type"}'


class Query(NamedTuple):
    """One line, or one set of lines, of a panel."""

    expr: str
    legend: str


class Panel(NamedTuple):
    """One panel."""

    title: str
    unit: str
    """As Grafana names units: `s`, `short`, `reqps`, `percentunit`."""
    queries: tuple[Query, ...]
    kind: str = "timeseries"


def _same(name: str, by: str = "type", labels: str = _OF_TYPE) -> str:
    """Write the query of what all processes tell the same."""
    return f"max by ({by}) (rq_broker_{name}{labels})"


def _rate(name: str, by: str = "", labels: str = "") -> str:
    """Write the query of what processes count each for itself."""
    grouping = f" by ({by})" if by else ""
    return f"sum{grouping} (rate(rq_broker_{name}{labels}[$__rate_interval]))"


def _quantile(quantile: str, rate: str) -> str:
    return f"histogram_quantile({quantile}, {rate})"


def _judged(percentile: str) -> str:
    """Write the query of the share of jobs that were granted within what they were told."""

    def judged(labels: str) -> str:
        metric = f'rq_broker_forecasts_total{{type=~"$type", percentile="{percentile}"{labels}}}'
        return f"sum by (type) (max by (type, outcome) (increase({metric}[1d])))"

    kept = ', outcome="kept"'
    return f"{judged(kept)} / {judged('')}"


def _waits(quantile: str) -> str:
    rate = f"rate(rq_broker_wait_seconds_bucket{_OF_TYPE}[$__rate_interval])"
    return _quantile(quantile, f"sum by (type, le) (max by (type, size, le) ({rate}))")


_USE = 'type=~"$type"'
ROWS: tuple[tuple[Panel, ...], ...] = (
    (
        Panel("Ready", "short", (Query("min(rq_broker_ready)", "ready"),), "stat"),
        Panel("Notifiers", "short", (Query("max(rq_broker_notifiers)", "alive"),), "stat"),
        Panel(
            "Types unserved, or failing",
            "short",
            (
                Query("max(rq_broker_types_unserved)", "unserved"),
                Query("max(rq_broker_types_failing)", "failing"),
            ),
            "stat",
        ),
        Panel("Sources stale", "short", (Query("max(rq_broker_sources_stale)", "stale"),), "stat"),
    ),
    (
        Panel(
            "Queue",
            "short",
            (Query(_same("jobs", labels=f'{{{_USE}, status="queued"}}'), "{{type}}"),),
        ),
        Panel("Oldest wait", "s", (Query(_same("oldest_wait_seconds"), "{{type}}"),)),
        Panel(
            "Waits of granted jobs",
            "s",
            (Query(_waits("0.5"), "{{type}} p50"), Query(_waits("0.9"), "{{type}} p90")),
        ),
    ),
    (
        Panel(
            "Grants and missed offers",
            "reqps",
            (
                Query(
                    f"max by (type) (rate(rq_broker_grants_total{_OF_TYPE}[$__rate_interval]))",
                    "{{type}} granted",
                ),
                Query(
                    "max by (type) (rate(rq_broker_offers_missed_total"
                    f"{_OF_TYPE}[$__rate_interval]))",
                    "{{type}} missed",
                ),
            ),
        ),
        Panel(
            "Capacity in use",
            "percentunit",
            (
                Query(
                    f"({_same('capacity_used', 'type, resource')}"
                    f" + {_same('capacity_held', 'type, resource')})"
                    f" / {_same('capacity', 'type, resource')}",
                    "{{type}} {{resource}}",
                ),
            ),
        ),
        Panel(
            "Jobs granted within their ETA",
            "percentunit",
            (Query(_judged("50"), "{{type}} p50"), Query(_judged("90"), "{{type}} p90")),
        ),
    ),
    (
        Panel("Callbacks", "reqps", (Query(_rate("callbacks_total", "outcome"), "{{outcome}}"),)),
        Panel(
            "Time of a callback",
            "s",
            (Query(_quantile("0.9", _rate("callback_seconds_bucket", "le")), "p90"),),
        ),
        Panel("Breakers open", "short", (Query(_same("breakers_open"), "{{type}}"),)),
    ),
    (
        Panel(
            "Age of sources",
            "s",
            (Query(_same("source_age_seconds", "type, source"), "{{type}} {{source}}"),),
        ),
        Panel(
            "Planning of a pass",
            "s",
            (Query(_quantile("0.9", _rate("planner_pass_seconds_bucket", "le")), "p90"),),
        ),
        Panel(
            "Time of scripts",
            "s",
            (Query(_quantile("0.9", _rate("script_seconds_bucket", "script, le")), "{{script}}"),),
        ),
    ),
    (
        Panel(
            "Redis",
            "reqps",
            (
                Query(_rate("redis_commands_total"), "commands"),
                Query(_rate("redis_round_trips_total"), "round trips"),
            ),
        ),
        Panel(
            "Calls that Redis refused",
            "reqps",
            (Query(_rate("redis_refused_total", "cause"), "{{cause}}"),),
        ),
    ),
)


def dashboard() -> dict[str, Any]:
    """Return the dashboard, as Grafana imports it."""
    panels: list[dict[str, Any]] = []
    for row, line in enumerate(ROWS):
        width = _WIDTH // len(line)
        for column, panel in enumerate(line):
            place = {"h": _HEIGHT, "w": width, "x": column * width, "y": row * _HEIGHT}
            panels.append(_panel(len(panels) + 1, panel, place))
    return {
        "uid": _UID,
        "title": TITLE,
        "tags": [TITLE],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [_datasource_variable(), _type_variable()]},
        "panels": panels,
    }


def _panel(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    return {
        "id": number,
        "title": panel.title,
        "type": panel.kind,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {},
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": _SOURCE,
                "expr": query.expr,
                "legendFormat": query.legend,
            }
            for index, query in enumerate(panel.queries)
        ],
    }


def _datasource_variable() -> dict[str, Any]:
    return {
        "name": "datasource",
        "label": "Prometheus",
        "type": "datasource",
        "query": "prometheus",
    }


def _type_variable() -> dict[str, Any]:
    return {
        "name": "type",
        "label": "Type",
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": "label_values(rq_broker_jobs, type)", "refId": "types"},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


@click.command()
def grafana() -> None:
    """Print a dashboard for Grafana.

    Import it there, and choose the Prometheus that scrapes API and notifiers.
    """
    click.echo(json.dumps(dashboard(), indent=2))


@click.command()
def alerts() -> None:
    """Print alert rules for Prometheus.

    Put them into a file that `rule_files` of prometheus.yml names.
    """
    click.echo((files(__package__) / "monitoring" / "alerts.yml").read_text(), nl=False)
