"""Moves of waiting jobs over HTTP: carried out, told beforehand, or refused with what is so now."""

from __future__ import annotations

from contextlib import suppress

from msgspec import Struct
from starlette.requests import Request

from rq_broker.admission.discretion import discreet_what_if
from rq_broker.admission.explain import Explainer
from rq_broker.api.bodies import Reorder
from rq_broker.api.etags import expected_line
from rq_broker.api.move_views import MovedView
from rq_broker.api.own import limits_of, owners_of
from rq_broker.api.views import EmptyView
from rq_broker.api.waiting_views import what_if_view
from rq_broker.domain import errors
from rq_broker.domain.planning import Proposal
from rq_broker.store.broker import Broker


async def what_if(explainer: Explainer, request: Request, type_: str, proposal: Proposal) -> Struct:
    """Return what a proposal would do, as it is told to the caller."""
    limits = limits_of(request)
    answer = await explainer.what_if(
        type_, proposal, owners_of(request), among_own=limits is not None
    )
    return what_if_view(answer if limits is None else discreet_what_if(answer, limits))


class Moves:
    """Moves jobs, a client's among its own."""

    def __init__(self, broker: Broker, explainer: Explainer) -> None:
        self._broker = broker
        self._explainer = explainer

    async def move(
        self,
        request: Request,
        type_: str,
        request_id: str,
        change: Reorder,
        versions: frozenset[str] | None,
    ) -> Struct:
        """Move a job; returns what that has done, nothing for a mere priority.

        Raises:
            ChangedMeanwhile: If-Match names a version of the line, and the move would not do what
                it did then. Its details have the new `preview`.
        """
        line = expected_line(versions)
        if line is not None and change.mode == "priority":
            raise errors.Invalid("a version of the line goes with before, after and position")
        try:
            moved = await self._broker.reorder(
                type_,
                request_id,
                change.mode,
                change.value,
                owners_of(request),
                among_own=limits_of(request) is not None,
                versions=versions if line is None else None,
                line=line,
            )
        except errors.ChangedMeanwhile as refusal:
            if line is not None:
                with suppress(errors.BrokerError):  # without a preview it is refused as well
                    proposal = change.proposal(request_id)
                    preview = await what_if(self._explainer, request, type_, proposal)
                    refusal.details = {**refusal.details, "preview": preview}
            raise
        return EmptyView() if change.mode == "priority" else MovedView.of(moved)
