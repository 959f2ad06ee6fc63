"""Every type in one row, in one call however many there are: what a page about all of them shows.

The rows come from the survey that /readyz and /metrics read too. With more than 50 types its rounds
are spaced, so a row may be some seconds old.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rq_broker.admission.served_types import ServedTypes, unserved_of
from rq_broker.api.access import identity_of
from rq_broker.api.own import limits_of
from rq_broker.api.responses import ok
from rq_broker.api.summary_views import TypeSummaryView, TypeTroubleView
from rq_broker.api.survey import Survey, TypeState
from rq_broker.api.views import SourceView
from rq_broker.domain.figures import Figures
from rq_broker.store.notifiers import NotifierReport


class SummaryEndpoints:
    """The endpoint /types."""

    def __init__(self, survey: Survey, served: ServedTypes) -> None:
        self._survey = survey
        self._served = served

    def routes(self) -> list[Route]:
        """List the routes."""
        return [Route("/types", self.type_summaries)]

    async def type_summaries(self, request: Request) -> Response:
        """Tell of every type that the caller may use: its jobs, capacity, grants and trouble."""
        await self._survey.refresh(with_figures=True)
        reports = await self._served.reports()
        uses, is_limited = identity_of(request).uses, limits_of(request) is not None
        rows = [
            _row(name, state, None if is_limited else reports)
            for name, state in sorted(self._survey.states.items())
            if uses(name)
        ]
        return ok(rows, unread=len(self._survey.names) - len(self._survey.states))


def _row(name: str, state: TypeState, reports: list[NotifierReport] | None) -> TypeSummaryView:
    """Build the row of a type. `reports`: None for one without its trouble."""
    figures = state.figures or Figures()
    row = TypeSummaryView(
        name,
        dict(state.counts),
        state.paused,
        figures.oldest,
        sum(waits.grants for waits in figures.waits.values()),
        figures.offers_missed,
        state.totals,
        state.kept,
    )
    return row if reports is None else row.with_fields(trouble=_trouble(name, state, reports))


def _trouble(name: str, state: TypeState, reports: list[NotifierReport]) -> TypeTroubleView:
    troubled = [source for source in state.sources if source.stale or source.cause]
    return TypeTroubleView(
        [SourceView.of(source) for source in troubled],
        state.figures.breakers if state.figures else 0,
        state.outage,
        len(state.losses),
        state.waits_in_vain,
        unserved.text if (unserved := unserved_of(name, reports)) else None,
    )
