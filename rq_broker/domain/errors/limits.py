"""Refusals of those who take more than their part."""

from __future__ import annotations

from rq_broker.domain.errors.root import BrokerError


class RateLimited(BrokerError):
    """The identity, or its owner, asks more often than the installation allows."""

    status = 429
    code = "rate_limited"
    remedy = (
        "Repeat it after `Retry-After`, and ask less often: the operator sets the "
        "[rates](operating.md#limits)."
    )

    def __init__(self, sentence: str = "", retry_after: int = 1, **details: object) -> None:
        super().__init__(sentence, **details)
        self.retry_after = retry_after


class TooManyWaits(BrokerError):
    """As many reads and event streams of the identity wait in this process as may."""

    status = 429
    code = "too_many_waits"
    remedy = (
        "Wait for several jobs by one stream of their type's events, or have the "
        "operator raise [`--wait-limit`](operating.md#limits)."
    )
    retry_after = 5
    """Seconds until a caller should ask again."""


class TooManyReceiverTests(BrokerError):
    """So many receiver tests of the type wait for a notifier that no more are taken."""

    status = 429
    code = "too_many_receiver_tests"
    remedy = "See with `/readyz` whether a notifier serves the type; the tests end by themselves."
    retry_after = 10
    """Seconds until a caller should ask again."""


class TooManyTypes(BrokerError):
    """The installation has as many types as it allows; those that it has are served."""

    status = 429
    code = "too_many_types"
    remedy = (
        "Use a type that is there, delete an empty one, or have the operator raise "
        "[`--max-types`](operating.md#limits)."
    )


class TooManyHosts(BrokerError):
    """The type has as many hosts as its policy lets be published."""

    status = 429
    code = "too_many_hosts"
    remedy = "Take a host out, or have the operator raise `most_hosts` of the policy."


class QueueFull(BrokerError):
    """As many jobs wait, or bytes are kept, as the policy allows; `full` says which.

    `details` has what is `full`: `jobs` or `bytes` of the type, `owner_jobs` or `owner_bytes`.
    """

    status = 429
    code = "queue_full"
    remedy = (
        "Wait until jobs end, delete some, or have the operator raise the limit of the "
        "[policy](policy.md)."
    )

    def __init__(self, sentence: str = "", **details: object) -> None:
        full, colon, rest = sentence.partition(": ")
        if colon and full.isidentifier():  # as a script refuses
            sentence, details = rest, {"full": full, **details}
        super().__init__(sentence, **details)
