"""What /metrics shows of the installation: trouble with Redis, notifiers, sources, all types."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rq_broker.admission.served_types import serves_now, unserved_of
from rq_broker.api.survey import Survey
from rq_broker.api.type_metrics import TypeMetrics
from rq_broker.measures import PREFIX
from rq_broker.store.broker import Broker
from rq_broker.store.notifiers import NotifierReport


class Metrics(Collector):
    """Collects one answer."""

    def __init__(
        self,
        broker: Broker,
        survey: Survey,
        reports: Sequence[NotifierReport],
        *,
        is_ready: bool,
        redis_answers: bool,
    ) -> None:
        self._broker = broker
        self._survey = survey
        self._reports = reports
        self._is_ready = is_ready
        self._redis_answers = redis_answers

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        yield from self._redis()
        yield from self._installation()
        yield from TypeMetrics(self._survey).collect()

    def _redis(self) -> Iterator[Metric]:
        trouble = self._broker.runner.trouble
        yield _gauge(
            "redis_answers", "Whether Redis could be read for this answer", self._redis_answers
        )
        yield _gauge("ready", "Whether /readyz would answer 200", self._is_ready)
        present = GaugeMetricFamily(
            f"{PREFIX}redis_trouble",
            "Causes that keep Redis from serving this process",
            labels=["cause"],
        )
        for spell in trouble.present:
            present.add_metric([spell.error.code], 1)
        yield present
        yield _gauge("redis_evicts", "Whether Redis may evict keys", bool(self._survey.evicting))

    def _installation(self) -> Iterator[Metric]:
        states, reports = self._survey.states, self._reports
        alive = sum(map(serves_now, reports))
        unserved = sum(unserved_of(name, reports) is not None for name in self._survey.names)
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


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{PREFIX}{name}", documentation, value=value)
