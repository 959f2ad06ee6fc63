"""Health over HTTP: whether this process is alive, whether it can serve, and what is in trouble."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rq_broker.admission.served_types import ServedTypes, serves_now, unserved_of
from rq_broker.api.health_views import AliveView, ClockStepsView, LossView, ReadyView
from rq_broker.api.metrics import Metrics
from rq_broker.api.responses import PRIVATE, ok
from rq_broker.api.survey import Survey, TypeState, callbacks_sentence, listed
from rq_broker.api.views import SourceView
from rq_broker.domain.capacity import SourceState
from rq_broker.domain.errors import NotReplicated, RedisLacksReplicas, Unavailable
from rq_broker.domain.jobs import Status
from rq_broker.measures import add_own
from rq_broker.store.broker import Broker
from rq_broker.store.keys import CONTRACT
from rq_broker.store.notifiers import NotifierReport

MAX_SOURCES = 1000
"""Sources that one answer lists, those in trouble first: bounds its size."""


class HealthEndpoints:
    """The endpoints /healthz, /readyz and /metrics."""

    def __init__(
        self, broker: Broker, survey: Survey, served: ServedTypes, callbacks: str | None = None
    ) -> None:
        """`callbacks`: the options by which this API accepts callbacks; None: it accepts all."""
        self._broker = broker
        self._callbacks = callbacks
        self._survey = survey
        self._served = served

    def routes(self) -> list[Route]:
        """List the routes."""
        return [
            Route("/healthz", self.alive),
            Route("/readyz", self.ready),
            Route("/metrics", self.metrics),
        ]

    async def alive(self, _: Request) -> Response:
        """Answer 200 as long as the process runs; Redis is not asked."""
        return ok(AliveView())

    async def ready(self, _: Request) -> Response:
        """Answer 200 if Redis takes writes or only lacks replicas, else 503; report all trouble."""
        replicas = await self._lacking_replicas()
        await self._survey.refresh()
        survey = self._survey
        states = survey.states
        redis = replicas or survey.evicting or "ok"
        reports = await self._served.reports()
        notifiers = _notifiers_sentence(survey.names, reports)
        callbacks = callbacks_sentence(states)
        steps = {
            name: ClockStepsView.of(state.clock_steps)
            for name, state in states.items()
            if state.clock_steps
        }
        losses = {
            name: [LossView.of(loss) for loss in state.losses]
            for name, state in states.items()
            if state.losses
        }
        troubles = [text for text in (redis, notifiers, callbacks) if text != "ok"]
        troubles += _waiting_in_vain(states)
        troubles += _source_troubles(survey)
        troubles += _callback_differences(self._callbacks, reports)
        troubles += _older_notifiers(reports)
        if losses:
            troubles.append(f"Redis lost state of the types {listed(list(losses))}: run the audit")
        return ok(
            ReadyView(
                redis,
                notifiers,
                callbacks,
                _sources(survey),
                steps,
                losses,
                troubles,
                [survey.unbounded] if survey.unbounded else [],
                len(survey.names),
                len(states),
            )
        )

    async def _lacking_replicas(self) -> str:
        """Raise Unavailable unless Redis takes writes, or lacks replicas only; then say so.

        Reads are served without replicas, by this process as well as by any other.
        """
        try:
            await self._broker.ping()
        except RedisLacksReplicas as error:
            return str(error)
        except NotReplicated:
            return "fewer replicas than --min-replicas-acked acknowledge writes in time"
        return ""

    async def metrics(self, _: Request) -> Response:
        """Return the metrics of this process, and those of all types, for Prometheus."""
        is_ready = redis_answers = False
        reports: list[NotifierReport] = []
        try:
            await self._survey.refresh(with_figures=True)
            reports = await self._served.reports()
            redis_answers = True
            await self._lacking_replicas()
            is_ready = True
        except Unavailable:
            pass
        registry = CollectorRegistry()
        registry.register(
            Metrics(
                self._broker,
                self._survey,
                reports,
                is_ready=is_ready,
                redis_answers=redis_answers,
            )
        )
        add_own(registry)
        text = generate_latest(registry)
        return Response(text, media_type=CONTENT_TYPE_LATEST, headers=PRIVATE)


def _notifiers_sentence(names: list[str], reports: list[NotifierReport]) -> str:
    """Say which types no notifier serves, and since when; `ok` for none."""
    if not any(map(serves_now, reports)):
        if not reports:
            return "no notifier runs: no type is served"
        age = min(report.age for report in reports)
        return f"no notifier has served any type for {age:.0f} s"
    unserved = {name: found for name in names if (found := unserved_of(name, reports))}
    if not unserved:
        return "ok"
    if len(unserved) == 1:
        ((name, found),) = unserved.items()
        return f"type {name}: {found.text}"
    return f"no notifier serves the types {listed([*unserved])}"


def _callback_differences(callbacks: str | None, reports: list[NotifierReport]) -> Iterator[str]:
    """Name a live notifier whose callbacks go elsewhere than those that this API accepts."""
    if callbacks is None:
        return
    others = [
        report
        for report in reports
        if serves_now(report) and report.callbacks not in (None, callbacks)
    ]
    if others:
        more = f" (and {len(others) - 1} more)" if len(others) > 1 else ""
        yield (
            f"API and notifier open different networks to callbacks: this API {_options(callbacks)}"
            f", notifier {others[0].name}{more} {_options(others[0].callbacks)}; what the API "
            "alone opens ends in error when it is called, what the notifier alone opens is refused "
            "at the submit: give both the same options, or set RQ_BROKER_CALLBACK_ALLOW, _DENY and "
            "_PORTS for all processes"
        )


def _options(callbacks: str | None) -> str:
    return f"has {callbacks}" if callbacks else "has none of the options"


def _older_notifiers(reports: list[NotifierReport]) -> Iterator[str]:
    """Name a live notifier of an earlier contract. One that starts after newer jobs are submitted
    may misread them; submits meanwhile are refused, see refuse_older."""
    older = [report for report in reports if serves_now(report) and report.contract < CONTRACT]
    if older:
        oldest = min(older, key=lambda report: report.contract)
        more = f" (and {len(older) - 1} more)" if len(older) > 1 else ""
        yield (
            f"notifier {oldest.name}{more} knows version {oldest.contract} of the contract with"
            f" Redis, not version {CONTRACT}: it may grant and end jobs without heed of what is"
            " newer, such as hold_at_most and at_once; upgrade or stop it"
        )


def _waiting_in_vain(states: Mapping[str, TypeState]) -> Iterator[str]:
    """Name the types without a host in which jobs wait."""
    names = [name for name, state in states.items() if state.waits_in_vain]
    if not names:
        return
    remedy = "add hosts, or check how it is spelt where jobs are submitted"
    if len(names) > 1:
        yield f"jobs wait in types that have no host: {listed(names)}; of each {remedy}"
        return
    jobs = states[names[0]].counts[Status.QUEUED]
    wait = "1 job waits" if jobs == 1 else f"{jobs} jobs wait"
    yield f"type {names[0]} has no host, and {wait} in it: {remedy}"


def _sources(survey: Survey) -> dict[str, list[SourceView]]:
    """Return the sources of each type that has one; of many, those in trouble first."""
    rows = [(name, source) for name, state in survey.states.items() for source in state.sources]
    rows.sort(key=lambda row: not (row[1].stale or row[1].cause))
    shown: dict[str, list[SourceView]] = {}
    for name, source in rows[:MAX_SOURCES]:
        shown.setdefault(name, []).append(SourceView.of(source))
    return shown


def _source_trouble(source: SourceState) -> str:
    """Say all that is wrong with a source; '' for nothing."""
    troubles = []
    if source.stale or source.cause:
        troubles.append(source.text or source.cause or "it gives no new snapshot")
    if source.clashes:
        named = f": {source.clashing} among them" if source.clashing else ""
        others = f"as others publish hosts of these names{named}"
        troubles.append(f"{source.clashes} of its hosts are ignored, {others}")
    return "; ".join(troubles)


def _source_troubles(survey: Survey) -> Iterator[str]:
    """Name the sources that are stale, fail or clash, a few of them in full."""
    bad = [
        f"source {source.name} of type {name}: {text}"
        for name, state in survey.states.items()
        for source in state.sources
        if (text := _source_trouble(source))
    ]
    yield from bad[:20]
    if len(bad) > 20:
        yield f"{len(bad) - 20} more sources are in trouble"
