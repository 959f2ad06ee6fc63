"""Why Redis did not serve a call: the one table of causes, and the errors that callers get.

A cause is recognized by the first word of Redis's reply, by a phrase where Redis has no word of its
own for it, or by the class that redis-py makes of it. Redis's own text names keys, addresses and
scripts: it goes to the log (see trouble), never into an error that a client may see.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from redis import exceptions

from rq_broker.domain import errors


class TooFewReplicas(Exception):
    """Fewer replicas than required acknowledged a write in time; it was carried out."""


@dataclass(frozen=True, slots=True)
class Cause:
    """One reason for which a Redis that answers does not serve."""

    error: type[errors.Unavailable]
    sentence: str
    words: tuple[str, ...]
    classes: tuple[type[Exception], ...] = ()
    """The same where redis-py reads the reply: it strips the word of some errors."""
    phrases: tuple[str, ...] = ()


CAUSES = (
    Cause(
        errors.RedisOutOfMemory,
        "Redis has reached its maxmemory and refuses writes",
        ("OOM",),
        (exceptions.OutOfMemoryError,),
    ),
    Cause(
        errors.RedisCannotSave,
        "Redis cannot write to its disk and refuses writes",
        ("MISCONF",),
    ),
    Cause(
        errors.RedisReadOnly,
        "the Redis that answers is a replica, or became one",
        ("READONLY", "MASTERDOWN", "UNBLOCKED"),
        (exceptions.ReadOnlyError, exceptions.MasterDownError),
    ),
    Cause(
        errors.RedisLacksReplicas,
        "Redis has fewer replicas than its min-replicas-to-write and refuses writes",
        ("NOREPLICAS",),
    ),
    Cause(
        errors.RedisClusterDown,
        "the Redis Cluster does not serve this type's slot",
        ("CLUSTERDOWN",),
        (exceptions.ClusterDownError, exceptions.SlotNotCoveredError),
    ),
    Cause(
        errors.RedisLoading,
        "Redis is loading its data",
        ("LOADING",),
        (exceptions.BusyLoadingError,),
    ),
    Cause(
        errors.RedisBusy,
        "Redis is busy with a script that runs for longer than its limit",
        ("BUSY",),
        phrases=("Script killed by user",),
    ),
    Cause(
        errors.RedisRefuses,
        "Redis refuses the broker's login, or a command that it needs",
        ("NOPERM", "NOAUTH", "WRONGPASS"),
        (
            exceptions.AuthenticationError,
            exceptions.AuthorizationError,
            exceptions.AuthenticationWrongNumberOfArgsError,
            exceptions.NoPermissionError,
        ),
        ("The user executing the script can't", "invalid password", "AUTH <password>"),
    ),
    Cause(
        errors.Resharding,
        "this type's slot of the Redis Cluster is moving to another node",
        ("ASK", "TRYAGAIN", "MOVED"),
        (exceptions.AskError, exceptions.TryAgainError),  # MovedError is an AskError
        ("non local key",),
    ),
    Cause(
        errors.NotReplicated,
        "the call was carried out, but too few replicas acknowledged it in time; it is lost if"
        " Redis fails over to another one now",
        (),
        (TooFewReplicas,),
    ),
)
"""The first that fits counts: MasterDownError is a ClusterDownError too."""
NO_ANSWER = "Redis does not answer"
UNKNOWN = "Redis refused a command of the broker; the log has the details"
_ELSEWHERE = (errors.RedisReadOnly, errors.RedisLoading, errors.RedisLacksReplicas)
"""Causes for which another server may serve at the same name: the one that was asked was demoted,
restarts, or is cut off."""
_FAILED_OVER = (*_ELSEWHERE, errors.RedisCannotSave)
"""The same where Sentinels look after the servers: one whose disk is full refuses their PING too,
so they make another the primary. The old one takes writes again once it has room, until they demote
it some 10 s later; what it took by then is lost."""

_BY_WORD = {word: cause for cause in CAUSES for word in cause.words}
_SCRIPT_ERRORS = errors.by_word()
_UNREACHABLE = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.RedisClusterException,
    OSError,
    TimeoutError,
)
_WORD_IN_SCRIPT = re.compile(r"@user_script: ?\d+: -([A-Z]+) ")
"""Where Redis 6 puts the word of an error that a command had inside a script."""


def cause_of(error: BaseException) -> Cause | None:
    """Return the cause that an error of Redis or redis-py stands for; None for any other error."""
    for cause in CAUSES:
        if isinstance(error, cause.classes):
            return cause
    text = str(error)
    word = text.partition(" ")[0]
    if word in _BY_WORD:
        return _BY_WORD[word]
    if match := _WORD_IN_SCRIPT.search(text):
        return _BY_WORD.get(match[1])
    for cause in CAUSES:
        if any(phrase in text for phrase in cause.phrases):
            return cause
    return None


def served_elsewhere(error: BaseException) -> bool:
    """Tell whether a new connection may reach a server that serves the call."""
    cause = cause_of(error)
    return cause is not None and cause.error in _FAILED_OVER


def moves_in_cluster(error: BaseException) -> bool:
    """Tell whether another node of a cluster may serve the call's slot, now or soon."""
    cause = cause_of(error)
    return cause is not None and cause.error in (*_ELSEWHERE, errors.RedisClusterDown)


def translate(error: BaseException) -> errors.BrokerError:
    """Return the error of domain/errors/ for one of redis-py.

    A lost connection is translated by what ended it, where that is in the table: a refused login.
    """
    word, _, sentence = str(error).partition(" ")
    if word in _SCRIPT_ERRORS:
        return _SCRIPT_ERRORS[word](sentence)
    cause = cause_of(error) or (error.__cause__ and cause_of(error.__cause__))
    if cause:
        return cause.error(cause.sentence)
    if isinstance(error, _UNREACHABLE):
        return errors.Unavailable(NO_ANSWER)
    return errors.Internal(UNKNOWN)


def refusal_of(text: str) -> errors.BrokerError:
    """Return the error of domain/errors/ for the text of one that a script gives in a reply."""
    return translate(exceptions.ResponseError(text))
