"""The answers to calls on many jobs."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from rq_broker.domain.representation import Count, JobView, JsonObject

Refusals = Annotated[dict[str, Count], Meta(description="Code → how many jobs were refused so.")]


class SubmittedView(JsonObject, frozen=True):
    """What became of one submission: the job, or why it was refused."""

    request_id: Annotated[str | None, Meta(description="As submitted; null if it has none.")]
    status: Annotated[int, Meta(description="The status that the call of this job alone has.")]
    data: JobView | UnsetType = UNSET
    replayed: Annotated[
        Literal[True] | UnsetType, Meta(description="An earlier call with this key stored it.")
    ] = UNSET
    code: str | UnsetType = UNSET
    error: str | UnsetType = UNSET
    same: Literal[True] | UnsetType = UNSET
    full: Annotated[str | UnsetType, Meta(description="What of the queue is full.")] = UNSET


class SubmittedManyView(JsonObject, frozen=True):
    """What became of each submission, in their order."""

    jobs: tuple[SubmittedView, ...]
    stored: Annotated[Count, Meta(description="How many are in the queue, the replayed ones too.")]
    refused: Refusals


class RefusedJobView(JsonObject, frozen=True):
    """Why an action was refused for one job."""

    request_id: str
    code: str
    error: str


class ActedView(JsonObject, frozen=True):
    """What an action has done until its bound, or in a dry run would do."""

    matched: Annotated[Count, Meta(description="How many jobs were meant.")]
    changed: Annotated[Count, Meta(description="To how many it was done; 0 in a dry run.")]
    refused: Refusals
    jobs: Annotated[
        tuple[JobView, ...] | UnsetType, Meta(description="In a dry run the first 20.")
    ] = UNSET
    refusals: Annotated[
        tuple[RefusedJobView, ...] | UnsetType,
        Meta(description="Each refusal of a job that was named; of a filter the first 20."),
    ] = UNSET
