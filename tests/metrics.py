"""What tests of /metrics need: the table that the page has of them, and a parsed answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from tests.pages import page

Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Scrape:
    """One answer."""

    labels: Mapping[str, frozenset[str]]
    """Metric, as the page names it → the labels of its rows but for `le`."""
    kinds: Mapping[str, str]
    values: Mapping[tuple[str, Labels], float]

    def value(self, name: str, **labels: str) -> float:
        """Return the value of a row; KeyError if there is none."""
        return self.values[name, frozenset(labels.items())]

    def rows(self, name: str) -> dict[Labels, float]:
        """Return the rows of a name by their labels."""
        return {labels: value for (row, labels), value in self.values.items() if row == name}


def parse(text: str) -> Scrape:
    """Parse an answer by the library's own parser."""
    labels, kinds, values = {}, {}, {}
    for family in text_string_to_metric_families(text):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        kinds[name] = family.type
        labels[name] = frozenset(label for row in family.samples for label in row.labels) - {"le"}
        for row in family.samples:
            key = row.name, frozenset(row.labels.items())
            assert key not in values, key
            values[key] = row.value
    return Scrape(labels, kinds, values)


def table() -> dict[str, tuple[frozenset[str], str]]:
    """Return the table of the page: metric → its labels and kind."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in page("observing").splitlines()
        if line.startswith("| `rq_broker_")
    ]
    return {
        name.strip("`"): (frozenset(labels.split(", ")) - {""}, kind)
        for name, labels, kind, *_ in rows
    }
