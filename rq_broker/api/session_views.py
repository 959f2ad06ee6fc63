"""The JSON objects of a session: who asks, and what this identity may call."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from rq_broker.api.roles import Scope
from rq_broker.domain.identity import Role
from rq_broker.domain.representation import JsonObject


class SessionView(JsonObject, frozen=True):
    """Who asks. Everything but `read_only` and `sign_in` is null where nobody is signed in."""

    role: Role | None
    name: Annotated[
        str | None, Meta(description="As the audit log has it; `anyone` without access control.")
    ]
    owners: Annotated[list[str] | None, Meta(description="Whose jobs are its own; null: no limit.")]
    types: Annotated[
        list[str] | None, Meta(description="The types that it may use; null: every type.")
    ]
    may: Annotated[
        dict[str, Scope],
        Meta(description="`operationId` → on what it may call the operation; others are refused."),
    ]
    read_only: Annotated[bool, Meta(description="Whether this API refuses every change.")]
    sign_in: Annotated[
        list[str],
        Meta(description="How a person may sign in here; none without access control."),
    ]
