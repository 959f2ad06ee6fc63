"""Builds the Starlette application: which resources there are, and what each is given."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import StatefulLifespan

from rq_broker.admission.explain import Explainer
from rq_broker.admission.served_types import ServedTypes
from rq_broker.admission.snapshot import SnapshotReader
from rq_broker.api.access import Access, guard
from rq_broker.api.all_events import AllEventEndpoints
from rq_broker.api.audit_log import AuditLogEndpoints
from rq_broker.api.browser_guard import ANY_NAME, BrowserGuard, BrowserRules
from rq_broker.api.bulk import BulkEndpoints
from rq_broker.api.dashboard_files import Dashboard
from rq_broker.api.destinations import DestinationEndpoints
from rq_broker.api.events import EventEndpoints
from rq_broker.api.health import HealthEndpoints
from rq_broker.api.holders import HolderEndpoints
from rq_broker.api.hosts import HostEndpoints
from rq_broker.api.inbox import InboxEndpoints
from rq_broker.api.jobs import JobEndpoints
from rq_broker.api.layers import Application, Innermost, Outermost
from rq_broker.api.middleware import TrailingSlash
from rq_broker.api.pages import PageEndpoints
from rq_broker.api.questions import QuestionEndpoints
from rq_broker.api.rate_limit import ANY_RATE, RateLimit, RateRules
from rq_broker.api.reports import ReportEndpoints
from rq_broker.api.request_body import read
from rq_broker.api.responses import ok
from rq_broker.api.sessions import SessionEndpoints, SignInLimit
from rq_broker.api.signing_keys import SigningKeyEndpoints
from rq_broker.api.summaries import SummaryEndpoints
from rq_broker.api.survey import Survey
from rq_broker.api.tokens import TokenEndpoints
from rq_broker.api.types import TypeEndpoints
from rq_broker.api.waiting import Waits
from rq_broker.egress.rules import Egress
from rq_broker.identity import Authenticator
from rq_broker.identity.sessions import SESSION_RULES, SessionRules, Sessions
from rq_broker.store.broker import Broker

__all__ = ["create_app"]


def create_app(
    broker: Broker,
    *,
    callback_base: str | None = None,
    egress: Egress | None = None,
    authenticators: Sequence[Authenticator] = (),
    open_types: bool = False,
    dashboard: bool = True,
    inbox: bool = False,
    noop: bool = False,
    read_only: bool = False,
    browsers: BrowserRules = ANY_NAME,
    rates: RateRules = ANY_RATE,
    session_rules: SessionRules = SESSION_RULES,
    lifespan: StatefulLifespan[Starlette] | None = None,
) -> Starlette:
    """Build the HTTP API of one broker.

    Args:
        broker: Carries out every call.
        callback_base: URL that relative callbacks are resolved against; None refuses them.
        egress: Refuses callbacks that no courier may dial; None leaves that to the courier.
        authenticators: Each proves who calls; without any, everybody may do everything.
        open_types: Lets every role make a type by a submit, host or policy, not only admins.
        dashboard: Adds the page for people at `/`.
        inbox: Adds the development inbox.
        noop: Adds `POST /noop`, the baseline of the benchmarks.
        read_only: Refuses every change; questions by POST, such as what-if, go on.
        browsers: By which names the API is called, and whose pages may call it.
        rates: How many requests a second are served to whom, and how many may wait.
        session_rules: How long people stay signed in.
        lifespan: Runs beside the requests; its state is given to the server and to each request.
    """
    sessions = Sessions(broker, authenticators, session_rules)
    extras = {"inbox": inbox, "noop": noop, "read_only": read_only}
    routes = _routes(
        broker, callback_base, egress, authenticators, rates.waits, sessions=sessions, **extras
    )
    sign_in_pages = _sign_in_pages(broker, authenticators, session_rules, sessions)
    pages = [*sign_in_pages, *([Dashboard()] if dashboard else ())]
    limits = _rate_limits(broker, rates, open_to_all=not authenticators)
    access = [*_access(broker, authenticators, routes, pages, sessions), *limits]
    app = Application(
        routes=[*_guarded(routes, None if open_types else broker, read_only=read_only), *pages],
        middleware=_middleware(browsers, access),
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return app


def _guarded(routes: Iterable[Route], types_of: Broker | None, *, read_only: bool) -> list[Route]:
    exists = None if types_of is None else types_of.type_exists
    return [guard(route, exists, read_only=read_only) for route in routes]


def _middleware(browsers: BrowserRules, access: Sequence[Middleware]) -> list[Middleware]:
    """List what a request passes, from the outside to the inside."""
    return [
        Middleware(Outermost),
        Middleware(BrowserGuard, browsers),
        Middleware(TrailingSlash),
        *access,
        Middleware(Innermost),
    ]


def _sign_in_pages(
    broker: Broker,
    authenticators: Sequence[Authenticator],
    rules: SessionRules,
    sessions: Sessions,
) -> list[Route]:
    """List the pages at which browsers sign in without a token."""
    pages: list[Route] = []
    if rules.issuer is not None:
        from rq_broker.api.oidc import OidcPages  # noqa: PLC0415 - needs the extra jwt

        pages += OidcPages(rules.issuer, sessions).routes()
    if any(authenticator.name == "keystone" for authenticator in authenticators):
        from rq_broker.api.keystone_sign_in import KeystonePages  # noqa: PLC0415 - an extra

        pages += KeystonePages(broker, authenticators, sessions).routes()
    return pages


def _access(
    broker: Broker,
    authenticators: Sequence[Authenticator],
    routes: Iterable[Route],
    pages: Sequence[Route | Dashboard],
    sessions: Sessions,
) -> list[Middleware]:
    sign_in_limit = [Middleware(SignInLimit, broker)] if authenticators else []
    return [*sign_in_limit, Middleware(Access, authenticators, routes, pages, sessions)]


def _rate_limits(broker: Broker, rates: RateRules, *, open_to_all: bool) -> list[Middleware]:
    limits_somebody = rates.limits_somebody(open_to_all=open_to_all)
    return [Middleware(RateLimit, broker.allow, rates)] if limits_somebody else []


def _routes(
    broker: Broker,
    callback_base: str | None,
    egress: Egress | None,
    authenticators: Sequence[Authenticator],
    most_waits: int,
    *,
    sessions: Sessions,
    inbox: bool,
    noop: bool,
    read_only: bool,
) -> list[Route]:
    """List all routes. Starlette tries them in this order, so the busiest come first."""
    waits = Waits(broker, most_waits)
    snapshots = SnapshotReader(broker)
    explainer = Explainer(snapshots)
    survey, served = Survey(broker), ServedTypes(broker)
    callbacks = None if egress is None else egress.options
    routes = [
        *([Route("/noop", _noop, methods=["POST"], include_in_schema=False)] if noop else ()),
        *JobEndpoints(snapshots, explainer, callback_base, egress, waits).routes(),
        *EventEndpoints(broker, waits).routes(),
        *AllEventEndpoints(broker, waits).routes(),
        *QuestionEndpoints(broker, explainer, callback_base, egress).routes(),
        *ReportEndpoints(snapshots).routes(),
        *BulkEndpoints(snapshots, callback_base, egress).routes(),
        *TypeEndpoints(snapshots).routes(),
        *SummaryEndpoints(survey, served).routes(),
        *HostEndpoints(broker).routes(),
        *HolderEndpoints(snapshots).routes(),
        *DestinationEndpoints(broker, callback_base, egress).routes(),
        *SigningKeyEndpoints(broker).routes(),
        *TokenEndpoints(broker).routes(),
        *AuditLogEndpoints(broker).routes(),
        *HealthEndpoints(broker, survey, served, callbacks).routes(),
        *(InboxEndpoints().routes() if inbox else ()),
    ]
    routes += SessionEndpoints(sessions, routes, read_only=read_only).routes()
    return [*routes, *PageEndpoints(routes, authenticators).routes()]


async def _noop(request: Request) -> Response:
    """Read the body and answer: the cost of a request without any work for it."""
    await read(request)
    return ok({})
