"""One action on the jobs that a command names: a call for many of them, not one for each."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from rq_broker.cli.exits import each_told
from rq_broker.domain import errors

if TYPE_CHECKING:
    from rq_broker.client import Client

AT_ONCE = 100
"""Jobs of one call, some 50 ms of the API. With more, the bar on a terminal moves in jumps; with
fewer, more of the time goes to calls."""
_BAR_FROM = 2
"""Calls from which on there is a bar."""

WHOLE = "[*]"
"""With what the name ends that stands for all jobs of an array."""
Action = Literal["withdraw", "move", "done"]
End = Literal["front", "back"]
_Outcome = tuple[str, errors.BrokerError | None]
"""A job, and why it was refused; None: it was done."""


def act_on(
    client: Client,
    type_: str,
    action: Action,
    request_ids: Sequence[str],
    owner_id: str,
    *,
    end: End = "back",
    told: Callable[[str], None] = lambda _: None,
) -> None:
    """Do something to each job; a refusal does not keep the others from it.

    Args:
        client: Of the API.
        type_: The queue's name.
        action: What to do.
        request_ids: The jobs; `name[*]` is an array as a whole.
        owner_id: Whose they are, as of Client.read.
        end: Where they move.
        told: Is called with each job to which it was done.
    """

    def tell(outcome: _Outcome) -> None:
        name, refusal = outcome
        if refusal is not None:
            raise refusal
        told(name)

    outcomes = _Acting(client, type_, action, owner_id, end).outcomes(request_ids)
    each_told(outcomes, tell, (lambda outcome: outcome[0]) if len(request_ids) > 1 else None)


def jobs_of(
    client: Client,
    type_: str,
    request_ids: Iterable[str],
    owner_id: str,
    statuses: Collection[str] = ("queued", "granted", "running"),
) -> Iterator[str]:
    """Yield the jobs that a command names, and for `name[*]` those of the array in a status.

    An array's name is yielded itself where there is no such array: then it is refused.
    """
    from rq_broker.domain.errors import JobNotFound

    for name in dict.fromkeys(request_ids):
        if not name.endswith(WHOLE):
            yield name
            continue
        try:
            client.read(type_, name, owner_id=owner_id)
        except JobNotFound:
            yield name
            continue
        for job in client.jobs(type_, request_id=name, owner_id=owner_id):
            if job["Status"] in statuses:
                yield job["RequestID"]


class _Acting:
    def __init__(self, client: Client, type_: str, action: Action, owner_id: str, end: End) -> None:
        self._client = client
        self._type = type_
        self._action: Action = action
        self._owner_id = owner_id
        self._end: End = end

    def outcomes(self, request_ids: Sequence[str]) -> Iterator[_Outcome]:
        """Make the calls one after the other, and yield what became of each job."""
        from rq_broker.cli.output.progress import progress

        names = [*dict.fromkeys(request_ids)]
        if self._action == "done":  # the API ends no array as a whole
            names = [*jobs_of(self._client, self._type, names, self._owner_id)]
        arrays = [[name] for name in names if name.endswith(WHOLE)]
        jobs = [name for name in names if not name.endswith(WHOLE)]
        calls = [jobs[start : start + AT_ONCE] for start in range(0, len(jobs), AT_ONCE)]
        if self._end == "front":
            calls.reverse()  # each call puts its jobs before those of the calls before it
        for some in progress([*calls, *arrays], least=_BAR_FROM):
            yield from [self._alone(some[0])] if len(some) == 1 else self._together(some)

    def _alone(self, name: str) -> _Outcome:
        try:
            if self._action == "withdraw":
                self._client.withdraw(self._type, name, owner_id=self._owner_id)
            elif self._action == "done":
                self._client.transition(self._type, name, "done", owner_id=self._owner_id)
            else:
                self._client.reorder(self._type, name, owner_id=self._owner_id, position=self._end)
        except errors.BrokerError as refusal:
            return name, refusal
        return name, None

    def _together(self, names: Sequence[str]) -> list[_Outcome]:
        acted = (
            self._client.act(
                self._type,
                "move",
                request_ids=names,
                position=self._end,
                owner_id=self._owner_id,
            )
            if self._action == "move"
            else self._client.act(
                self._type, self._action, request_ids=names, owner_id=self._owner_id
            )
        )
        by_word = errors.by_word()
        refusals = {
            each["request_id"]: by_word.get(each["code"].upper(), errors.BrokerError)(each["error"])
            for each in acted["refusals"]
        }
        return [(name, refusals.get(name.rpartition("/")[2])) for name in names]
