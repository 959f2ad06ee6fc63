"""Refusals because Redis does not answer, or answers that it cannot serve."""

from __future__ import annotations

from rq_broker.domain.errors.root import BrokerError


class Unavailable(BrokerError):
    """Redis does not answer. The call may have been carried out: repeat it.

    The subclasses say why a Redis that answers cannot serve, see store/redis_errors.
    """

    status = 503
    code = "redis_unavailable"
    remedy = "Repeat it after `Retry-After`; with an `Idempotency-Key` a submit is stored once."
    retry_after = 1
    """Seconds until a caller should repeat the call, about what the cause lasts at least."""


class RedisOutOfMemory(Unavailable):
    """Redis is at its `maxmemory` and refuses writes; the call was not carried out."""

    code = "redis_out_of_memory"
    remedy = "Repeat it after `Retry-After`; the operator frees memory or raises `maxmemory`."
    retry_after = 5


class RedisCannotSave(Unavailable):
    """Redis cannot write to its disk and refuses writes; the call was not carried out."""

    code = "redis_cannot_save"
    remedy = "Repeat it after `Retry-After`; the operator makes room on the disk of Redis."
    retry_after = 5


class RedisReadOnly(Unavailable):
    """The Redis that answered is a replica, or became one; the call was not carried out."""

    code = "redis_read_only"
    remedy = "Repeat it after `Retry-After`: a failover is under way."


class RedisLacksReplicas(Unavailable):
    """Redis has fewer replicas than its `min-replicas-to-write`; the call was not carried out."""

    code = "redis_lacks_replicas"
    remedy = "Repeat it after `Retry-After`; the operator brings the replicas back."
    retry_after = 2


class RedisClusterDown(Unavailable):
    """The cluster serves no slot, or not this type's; the call was not carried out."""

    code = "redis_cluster_down"
    remedy = "Repeat it after `Retry-After`; the operator brings the cluster's nodes back."
    retry_after = 2


class RedisLoading(Unavailable):
    """Redis loads its data after a start; the call was not carried out."""

    code = "redis_loading"
    remedy = "Repeat it after `Retry-After`."
    retry_after = 2


class RedisBusy(Unavailable):
    """Redis runs a script for longer than its limit; the call was not carried out."""

    code = "redis_busy"
    remedy = "Repeat it after `Retry-After`; the operator finds the script by `SLOWLOG`."


class RedisRefuses(Unavailable):
    """Redis refuses the broker's login, or lacks a right that the call needs."""

    code = "redis_refuses"
    remedy = "Have the operator correct the login, or the rights: `rq-broker acl` prints them."
    retry_after = 30


class Resharding(Unavailable):
    """The slot of this type moves to another node of the cluster; other types are served."""

    code = "resharding"
    remedy = "Repeat it after `Retry-After`."


class NotReplicated(Unavailable):
    """The call was carried out, but fewer replicas than required acknowledged it in time."""

    code = "not_replicated"
    remedy = (
        "Repeat it after `Retry-After`: the repetition finds it, and waits for the "
        "[replicas](operating.md#replicas)."
    )


class SigningKeysEncrypted(BrokerError):
    """The signing keys are encrypted by a secret key that this process does not have."""

    status = 503
    code = "signing_keys_encrypted"
    remedy = (
        "Have the operator give this process the [secret key](security.md#signing-keys-at-rest)."
    )
    retry_after = 30
