"""The table of causes: which error a caller gets for what Redis and redis-py say."""

from __future__ import annotations

import pytest
from redis import exceptions

from rq_broker.domain import errors
from rq_broker.store.redis_errors import CAUSES, TooFewReplicas, served_elsewhere, translate

REPLIES = [
    ("OOM command not allowed when used memory > 'maxmemory'.", "redis_out_of_memory"),
    ("MISCONF Redis is configured to save RDB snapshots", "redis_cannot_save"),
    ("READONLY You can't write against a read only replica.", "redis_read_only"),
    ("MASTERDOWN Link with MASTER is down", "redis_read_only"),
    ("UNBLOCKED force unblock from blocking operation", "redis_read_only"),
    ("NOREPLICAS Not enough good replicas to write.", "redis_lacks_replicas"),
    ("CLUSTERDOWN Hash slot not served", "redis_cluster_down"),
    ("LOADING Redis is loading the dataset in memory", "redis_loading"),
    ("BUSY Redis is busy running a script.", "redis_busy"),
    ("ERR Error running script: Script killed by user with SCRIPT KILL...", "redis_busy"),
    ("NOPERM this user has no permissions to run the 'zadd' command", "redis_refuses"),
    ("NOAUTH Authentication required.", "redis_refuses"),
    ("WRONGPASS invalid username-password pair", "redis_refuses"),
    ("ERR The user executing the script can't run this command or subcommand", "redis_refuses"),
    ("ASK 7000 127.0.0.1:1", "resharding"),
    ("TRYAGAIN Multiple keys request during rehashing of slot", "resharding"),
    ("MOVED 7000 127.0.0.1:1", "resharding"),
    (
        "ERR Script attempted to access a non local key in a cluster node script: 1a, on"
        " @user_script:1.",
        "resharding",
    ),
    (
        "ERR Error running script (call to f_1a2b): @user_script:31: @user_script: 31: -READONLY"
        " You can't write against a read only replica.",
        "redis_read_only",
    ),
    (
        "ERR Error running script (call to f_1a2b): @user_script:31: @user_script: 31: -OOM"
        " command not allowed",
        "redis_out_of_memory",
    ),
]
CLASSES = [
    (exceptions.OutOfMemoryError("command not allowed"), "redis_out_of_memory"),
    (exceptions.ReadOnlyError("You can't write"), "redis_read_only"),
    (exceptions.MasterDownError("Link with MASTER is down"), "redis_read_only"),
    (exceptions.ClusterDownError("The cluster is down"), "redis_cluster_down"),
    (exceptions.SlotNotCoveredError("slot 7"), "redis_cluster_down"),
    (exceptions.BusyLoadingError("Redis is loading"), "redis_loading"),
    (exceptions.AuthenticationError("invalid username-password pair"), "redis_refuses"),
    (exceptions.NoPermissionError("this user has no permissions"), "redis_refuses"),
    (exceptions.TryAgainError("Multiple keys request"), "resharding"),
    (exceptions.MovedError("7 127.0.0.1:1"), "resharding"),
    (TooFewReplicas(), "not_replicated"),
    (exceptions.ConnectionError("refused"), "redis_unavailable"),
    (exceptions.TimeoutError("no reply"), "redis_unavailable"),
    (exceptions.RedisClusterException("no node answers"), "redis_unavailable"),
    (TimeoutError(), "redis_unavailable"),
    (OSError("reset"), "redis_unavailable"),
]


@pytest.mark.parametrize(
    ("error", "code"),
    [*((exceptions.ResponseError(text), code) for text, code in REPLIES), *CLASSES],
)
def test_each_cause_has_its_code_and_keeps_the_text_of_redis_to_itself(
    error: Exception, code: str
) -> None:
    """It is a 503, whatever reads the reply and wherever in a script the error arose."""
    answer = translate(error)
    assert (answer.code, answer.status) == (code, 503)
    assert isinstance(answer, errors.Unavailable)
    assert answer.retry_after >= 1
    for foreign in ("1a", "user_script", "127.0.0.1", "zadd"):
        assert foreign not in str(answer)


def test_every_class_of_unavailable_has_a_row() -> None:
    """A new class without a row would never be answered."""
    assert {cause.error for cause in CAUSES} == set(errors.Unavailable.__subclasses__())


def test_a_refused_login_is_told_from_a_lost_connection() -> None:
    """A dial that Redis refuses ends as a lost connection, whose cause counts."""
    lost = exceptions.ConnectionError("the connection to Redis was lost")
    lost.__cause__ = exceptions.AuthenticationError("invalid username-password pair")
    assert translate(lost).code == "redis_refuses"
    lost.__cause__ = OSError("reset")
    assert translate(lost).code == "redis_unavailable"


def test_an_error_of_a_script_is_the_class_of_its_word() -> None:
    """The word before the sentence names the class; the sentence stays."""
    error = translate(exceptions.ResponseError("JOB_NOT_FOUND no job d in type vm"))
    assert isinstance(error, errors.JobNotFound)
    assert str(error) == "no job d in type vm"


def test_any_other_reply_is_internal_and_its_text_stays_inside() -> None:
    """Keys and hashes of scripts are nobody's business; the log has the error as the cause."""
    error = translate(exceptions.ResponseError("WRONGTYPE Operation against a key, script: 1a2b"))
    assert isinstance(error, errors.Internal)
    assert "1a2b" not in str(error)
    assert "log" in str(error)


def test_a_demoted_or_parted_primary_is_worth_a_new_dial() -> None:
    """Another server may have its name, also after its disk was full, as Sentinels then fail over;
    where memory or rights lack, a dial changes nothing."""
    worth = {
        text.split()[0] for text, _ in REPLIES if served_elsewhere(exceptions.ResponseError(text))
    }
    demoted = {"READONLY", "MASTERDOWN", "UNBLOCKED", "NOREPLICAS", "LOADING", "ERR"}
    assert worth == {*demoted, "MISCONF"}
