"""What /metrics shows: this process's trouble with Redis, and the state of all types."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rq_broker.admission.served_types import UNSERVED_AFTER, describe_unserved
from rq_broker.api.survey import Survey
from rq_broker.store.broker import Broker
from rq_broker.store.notifiers import NotifierReport

PREFIX = "rq_broker_"


class Metrics(Collector):
    """Collects one answer. Types without jobs have no row of jobs: their number is not bounded."""

    def __init__(
        self,
        broker: Broker,
        survey: Survey,
        reports: Sequence[NotifierReport],
        *,
        redis_answers: bool,
    ) -> None:
        self._broker = broker
        self._survey = survey
        self._reports = reports
        self._redis_answers = redis_answers

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        yield from self._redis()
        yield from self._types()
        yield from self._jobs()

    def _redis(self) -> Iterator[Metric]:
        trouble = self._broker.runner.trouble
        yield _gauge(
            "redis_answers", "Whether Redis could be read for this answer", self._redis_answers
        )
        refused = CounterMetricFamily(
            f"{PREFIX}redis_refused", "Calls of this process that Redis refused", labels=["cause"]
        )
        for cause, count in trouble.refused.items():
            refused.add_metric([cause], count)
        yield refused
        present = GaugeMetricFamily(
            f"{PREFIX}redis_trouble", "Causes that keep Redis from serving now", labels=["cause"]
        )
        for spell in trouble.present:
            present.add_metric([spell.error.code], 1)
        yield present
        yield _gauge("redis_evicts", "Whether Redis may evict keys", bool(self._survey.evicting))

    def _types(self) -> Iterator[Metric]:
        states, reports = self._survey.states, self._reports
        alive = sum(report.age < UNSERVED_AFTER for report in reports)
        unserved = sum(bool(describe_unserved(name, reports)) for name in self._survey.names)
        failing = sum(state.outage for state in states.values())
        yield _gauge("notifiers", "Notifiers that are alive", alive)
        yield _gauge("types", "Types there are", len(self._survey.names))
        yield _gauge("types_unserved", "Types that no notifier has served for 20 s", unserved)
        yield _gauge("types_failing", "Types of which most destinations fail", failing)
        sources = [source for state in states.values() for source in state.sources]
        stale = sum(source.stale for source in sources)
        yield _gauge("sources", "Sources there are", len(sources))
        yield _gauge("sources_stale", "Sources without a good snapshot for 3 intervals", stale)
        troubled = sum(bool(source.cause) for source in sources)
        yield _gauge("sources_in_trouble", "Sources whose last poll was not good", troubled)
        causes = GaugeMetricFamily(
            f"{PREFIX}sources_by_cause", "Sources in trouble, by its cause", labels=["cause"]
        )
        for cause, count in Counter(source.cause for source in sources if source.cause).items():
            causes.add_metric([cause], count)
        yield causes
        steps = CounterMetricFamily(
            f"{PREFIX}clock_steps", "Steps taken out of a type's clock", labels=["type"]
        )
        for name, state in states.items():
            if state.clock_steps:
                steps.add_metric([name], state.clock_steps.count)
        yield steps
        losses = CounterMetricFamily(
            f"{PREFIX}state_losses", "Losses of a type's state in Redis", labels=["type"]
        )
        for name, state in states.items():
            if state.losses:
                losses.add_metric([name], len(state.losses))
        yield losses

    def _jobs(self) -> Iterator[Metric]:
        jobs = GaugeMetricFamily(f"{PREFIX}jobs", "Jobs of a type", labels=["type", "status"])
        for name, state in self._survey.states.items():
            if any(state.counts.values()):
                for status, count in state.counts.items():
                    jobs.add_metric([name, status], count)
        yield jobs


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{PREFIX}{name}", documentation, value=value)
