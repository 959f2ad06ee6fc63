"""What /metrics shows of each type, the same in every process; of many types, some together.

The first MOST_TYPES by name have rows of their own, the others are one, `other`: their numbers are
added up, of waits and ages the longest is told. No row names an owner, a job or a host.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import accumulate

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from rq_broker.api.survey import MOST_TYPES, Survey, TypeState
from rq_broker.domain.figures import WAIT_BOUNDS, Figures
from rq_broker.measures import PREFIX

OTHER = "other"
"""The label of all types that have no rows of their own."""
MOST_RESOURCES = 20
"""Resources of a type that are told, the first by name."""
MOST_SOURCES = 20
"""Sources of a type that are told, those with the oldest snapshots."""
_BOUNDS = [*(f"{float(bound)}" for bound in WAIT_BOUNDS), "+Inf"]


class TypeMetrics:
    """Collects the rows of all types of one survey."""

    def __init__(self, survey: Survey) -> None:
        names = survey.names
        told = set(names if len(names) <= MOST_TYPES else names[:MOST_TYPES])
        self._labels = {name: name if name in told else OTHER for name in names}
        self._states = survey.states
        self._figures: dict[str, Figures] = {}
        for label, state in self._by_label():
            if state.figures is not None:
                self._figures[label] = self._figures.get(label, Figures()) + state.figures

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        yield self._jobs()
        yield from self._waits()
        yield from self._counts()
        yield from self._capacity()
        yield self._source_ages()
        yield from self._lost()

    def _by_label(self) -> Iterator[tuple[str, TypeState]]:
        for name, state in self._states.items():
            yield self._labels.get(name, OTHER), state

    def _jobs(self) -> Metric:
        family = _gauge("jobs", "Jobs of a type", "type", "status")
        counts: dict[str, Counter[str]] = {}
        for label, state in self._by_label():
            counts.setdefault(label, Counter()).update(state.counts)
        for label, of_type in counts.items():
            if any(of_type.values()):
                for status, count in of_type.items():
                    family.add_metric([label, status], count)
        return family

    def _waits(self) -> Iterator[Metric]:
        oldest = _gauge("oldest_wait_seconds", "How long the oldest job in the line waits", "type")
        waits = HistogramMetricFamily(
            f"{PREFIX}wait_seconds",
            "From submit to grant, by the size of the job in largest hosts",
            labels=["type", "size"],
        )
        grants = _counter("grants", "Grants of capacity", "type")
        for label, figures in self._figures.items():
            oldest.add_metric([label], figures.oldest)
            for size, of_size in sorted(figures.waits.items()):
                buckets = list(zip(_BOUNDS, accumulate(of_size.counts), strict=True))
                waits.add_metric([label, size_label(size)], buckets, of_size.seconds)
            if figures.waits:
                granted = sum(of_size.grants for of_size in figures.waits.values())
                grants.add_metric([label], granted)
        yield from (oldest, waits, grants)

    def _counts(self) -> Iterator[Metric]:
        missed = _counter("offers_missed", "Offers that ended before they were taken", "type")
        breakers = _gauge("breakers_open", "Receivers whose circuit breaker is not closed", "type")
        forecasts = _counter(
            "forecasts",
            "ETAs first told of jobs, judged by their grants",
            *("type", "percentile", "outcome"),
        )
        for label, figures in self._figures.items():
            missed.add_metric([label], figures.offers_missed)
            breakers.add_metric([label], figures.breakers)
            for percentile, judged in (("50", figures.p50), ("90", figures.p90)):
                if judged.kept or judged.missed:
                    forecasts.add_metric([label, percentile, "kept"], judged.kept)
                    forecasts.add_metric([label, percentile, "missed"], judged.missed)
        yield from (missed, breakers, forecasts)

    def _capacity(self) -> Iterator[Metric]:
        labels = ("type", "resource")
        families = {
            "capacity": _gauge("capacity", "Capacity of hosts in service", *labels),
            "used": _gauge("capacity_used", "In use, as the sources report it", *labels),
            "held": _gauge("capacity_held", "Held by grants", *labels),
        }
        for name, state in self._states.items():
            if state.totals is not None and self._labels.get(name) == name:
                for field, family in families.items():
                    amounts: Mapping[str, int] = getattr(state.totals, field)
                    for resource in sorted(state.totals.capacity)[:MOST_RESOURCES]:
                        family.add_metric([name, resource], amounts.get(resource, 0))
        yield from families.values()

    def _source_ages(self) -> Metric:
        family = _gauge(
            "source_age_seconds", "Since the last good snapshot of a source", "type", "source"
        )
        ages: dict[str, dict[str, float]] = {}
        for label, state in self._by_label():
            for source in state.sources:
                of_label = ages.setdefault(label, {})
                name = OTHER if label == OTHER else source.name
                of_label[name] = max(of_label.get(name, 0.0), source.age or 0.0)
        for label, of_label in ages.items():
            for name in sorted(of_label, key=of_label.__getitem__, reverse=True)[:MOST_SOURCES]:
                family.add_metric([label, name], of_label[name])
        return family

    def _lost(self) -> Iterator[Metric]:
        steps = _counter("clock_steps", "Steps taken out of a type's clock", "type")
        losses = _counter("state_losses", "Losses of a type's state in Redis", "type")
        counts: dict[str, tuple[int, int]] = {}
        for label, state in self._by_label():
            stepped, lost = counts.get(label, (0, 0))
            stepped += state.clock_steps.count if state.clock_steps else 0
            counts[label] = stepped, lost + len(state.losses)
        for label, (stepped, lost) in counts.items():
            if stepped:
                steps.add_metric([label], stepped)
            if lost:
                losses.add_metric([label], lost)
        yield from (steps, losses)


def size_label(size: int) -> str:
    """Return a size class as the least size of its jobs, in largest hosts: `1/4`, `2`.

    >>> size_label(-2), size_label(1)
    ('1/4', '2')
    """
    return f"{2**size}" if size >= 0 else f"1/{2**-size}"


def _gauge(name: str, documentation: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{PREFIX}{name}", documentation, labels=labels)


def _counter(name: str, documentation: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"{PREFIX}{name}", documentation, labels=labels)
