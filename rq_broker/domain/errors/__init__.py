"""Every refusal of the broker, as one tree of exceptions.

    BrokerError
    ├── Invalid                 400  invalid_request        the body, a field or a parameter
    │   ├── Malformed           400  malformed_request      it is no HTTP/1.1
    │   ├── Unreadable          400  unreadable_json
    │   ├── CallbackForbidden   400  callback_forbidden     no courier may dial it, see egress
    │   ├── ExpectedTooLong     400  expected_too_long      over the policy's expected_most
    │   ├── InvalidServer       400  invalid_server         no name that a source has for one
    │   └── TooManyKinds        400  too_many_kinds         over the policy's most_kinds
    ├── Unauthenticated         401  unauthenticated        no credential, or one that proves nobody
    │   ├── TokenMalformed      401  token_malformed        a letter is missing or wrong
    │   ├── TokenUnknown        401  token_unknown
    │   ├── TokenExpired        401  token_expired
    │   ├── TokenRevoked        401  token_revoked          or replaced by a rotation
    │   ├── SessionEnded        401  session_ended          of a browser: idle, over, signed out
    │   ├── SignInRefused       401  sign_in_refused        by the issuer, or not begun here
    │   ├── NoRole              403  no_role                a valid one, without a role here
    │   ├── KeystoneRefused     401  keystone_token_refused  expired, revoked, or none
    │   ├── KeystoneUnscoped    401  keystone_token_unscoped  not of a project, or of another domain
    │   └── JwtRefused          401  jwt_refused
    │       ├── JwtMalformed    401  jwt_malformed
    │       ├── JwtAlgorithm    401  jwt_algorithm          none, HS256, or another not accepted
    │       ├── JwtUnknownKey   401  jwt_unknown_key
    │       ├── JwtKeyNotNamed  401  jwt_key_not_named      no kid, and several keys
    │       ├── JwtBadSignature 401  jwt_bad_signature
    │       ├── JwtWrongIssuer  401  jwt_wrong_issuer
    │       ├── JwtWrongAudience 401  jwt_wrong_audience
    │       ├── JwtExpired      401  jwt_expired
    │       ├── JwtNotYetValid  401  jwt_not_yet_valid
    │       └── JwtClaims       401  jwt_claims             one is missing, or of another form
    ├── Forbidden               403  forbidden              the identity may not do this
    ├── ReadOnly                403  read_only              the API runs with --read-only
    ├── WebSocketUnsupported    400  websocket_unsupported
    ├── ForeignOrigin           403  foreign_origin         a page of another site
    ├── NotFound                404  not_found              an unknown path
    │   ├── JobNotFound         404  job_not_found
    │   │   └── AlreadyWithdrawn 404  already_withdrawn     an earlier call withdrew it
    │   ├── HostNotFound        404  host_not_found
    │   ├── SourceNotFound      404  source_not_found
    │   ├── TokenNotFound       404  token_not_found
    │   ├── DestinationNotFound 404  destination_not_found
    │   └── ReceiverTestNotFound 404  receiver_test_not_found
    ├── MethodNotAllowed        405  method_not_allowed
    ├── Conflict                409  conflict
    │   ├── DuplicateRequestId  409  duplicate_request_id
    │   ├── DuplicateCallback   409  duplicate_callback
    │   ├── DuplicateServer     409  duplicate_server       two jobs name one, or one job twice
    │   ├── IdempotencyKeyReused 409  idempotency_key_reused  for another request
    │   ├── UnknownDependency   409  unknown_dependency     `after` names no job of the type
    │   ├── DependencyFailed    409  dependency_failed      `after` names a job in error
    │   ├── TypeInUse           409  type_in_use            it has jobs, hosts or sources
    │   ├── ImpossibleMove      409  impossible_move
    │   ├── StaleFence          409  stale_fence
    │   ├── NotWaiting          409  not_waiting            the job is not queued
    │   └── NoRoom              409  priority_exhausted
    ├── ChangedMeanwhile        412  changed_meanwhile      not the version that If-Match names
    ├── RequestTimeout          408  request_timeout
    ├── TooLarge                413  body_too_large
    ├── UriTooLong              414  uri_too_long
    ├── UnsupportedMediaType    415  unsupported_media_type a browser sends no JSON
    ├── HostNotAllowed          421  host_not_allowed       not a name of this API
    ├── HeadersTooLarge         431  headers_too_large
    ├── TooManyQuestions        429  too_many_questions     explanations, what-ifs of a type
    ├── TooManyReceiverTests    429  too_many_receiver_tests  that wait for a notifier
    ├── RateLimited             429  rate_limited           too many requests a second
    ├── QueueFull               429  queue_full             over limits of the policy
    ├── TooManyTypes            429  too_many_types         --max-types
    ├── TooManyWaits            429  too_many_waits         --wait-limit
    ├── TooManyHosts            429  too_many_hosts         over the policy's most_hosts
    ├── Internal                500  internal_error
    ├── OlderNotifiers          503  older_notifiers        they would misread the job
    ├── TooManyConnections      503  too_many_connections   nothing was read
    ├── SigningKeysEncrypted    503  signing_keys_encrypted  by a key that this process lacks
    ├── IdentityUnavailable     503  identity_unavailable
    │   ├── KeystoneUnavailable 503  keystone_unavailable
    │   ├── IssuerUnavailable   503  issuer_unavailable     at which people sign in
    │   └── JwtKeysUnavailable  503  jwt_keys_unavailable
    └── Unavailable             503  redis_unavailable
        ├── RedisOutOfMemory    503  redis_out_of_memory
        ├── RedisCannotSave     503  redis_cannot_save
        ├── RedisReadOnly       503  redis_read_only        a demoted primary, a replica
        ├── RedisLacksReplicas  503  redis_lacks_replicas
        ├── RedisClusterDown    503  redis_cluster_down
        ├── RedisLoading        503  redis_loading
        ├── RedisBusy           503  redis_busy             it runs somebody's long script
        ├── RedisRefuses        503  redis_refuses          its login or its access rights
        ├── Resharding          503  resharding             of the type's slot alone
        └── NotReplicated       503  not_replicated         carried out, but not copied in time

A published code keeps its meaning for ever. Lua scripts refuse by the same tree: they answer
`<WORD> <sentence>`, where WORD is the code in capitals, and `by_word` maps it to the class. Large
families have files of their own: `access`, `browsers`, `conflicts`, `limits` and
`unavailable`.
"""

from __future__ import annotations

from rq_broker.domain.errors.access import (
    Forbidden as Forbidden,
    IdentityUnavailable as IdentityUnavailable,
    IssuerUnavailable as IssuerUnavailable,
    JwtAlgorithm as JwtAlgorithm,
    JwtBadSignature as JwtBadSignature,
    JwtClaims as JwtClaims,
    JwtExpired as JwtExpired,
    JwtKeyNotNamed as JwtKeyNotNamed,
    JwtKeysUnavailable as JwtKeysUnavailable,
    JwtMalformed as JwtMalformed,
    JwtNotYetValid as JwtNotYetValid,
    JwtRefused as JwtRefused,
    JwtUnknownKey as JwtUnknownKey,
    JwtWrongAudience as JwtWrongAudience,
    JwtWrongIssuer as JwtWrongIssuer,
    KeystoneRefused as KeystoneRefused,
    KeystoneUnavailable as KeystoneUnavailable,
    KeystoneUnscoped as KeystoneUnscoped,
    NoRole as NoRole,
    ReadOnly as ReadOnly,
    SessionEnded as SessionEnded,
    SignInRefused as SignInRefused,
    TokenExpired as TokenExpired,
    TokenMalformed as TokenMalformed,
    TokenRevoked as TokenRevoked,
    TokenUnknown as TokenUnknown,
    Unauthenticated as Unauthenticated,
)
from rq_broker.domain.errors.browsers import (
    ForeignOrigin as ForeignOrigin,
    HostNotAllowed as HostNotAllowed,
    UnsupportedMediaType as UnsupportedMediaType,
    WebSocketUnsupported as WebSocketUnsupported,
)
from rq_broker.domain.errors.conflicts import (
    ChangedMeanwhile as ChangedMeanwhile,
    Conflict as Conflict,
    DependencyFailed as DependencyFailed,
    DuplicateCallback as DuplicateCallback,
    DuplicateRequestId as DuplicateRequestId,
    DuplicateServer as DuplicateServer,
    IdempotencyKeyReused as IdempotencyKeyReused,
    ImpossibleMove as ImpossibleMove,
    NoRoom as NoRoom,
    NotWaiting as NotWaiting,
    StaleFence as StaleFence,
    TypeInUse as TypeInUse,
    UnknownDependency as UnknownDependency,
)
from rq_broker.domain.errors.limits import (
    QueueFull as QueueFull,
    RateLimited as RateLimited,
    TooManyHosts as TooManyHosts,
    TooManyReceiverTests as TooManyReceiverTests,
    TooManyTypes as TooManyTypes,
    TooManyWaits as TooManyWaits,
)
from rq_broker.domain.errors.root import BrokerError as BrokerError
from rq_broker.domain.errors.unavailable import (
    NotReplicated as NotReplicated,
    RedisBusy as RedisBusy,
    RedisCannotSave as RedisCannotSave,
    RedisClusterDown as RedisClusterDown,
    RedisLacksReplicas as RedisLacksReplicas,
    RedisLoading as RedisLoading,
    RedisOutOfMemory as RedisOutOfMemory,
    RedisReadOnly as RedisReadOnly,
    RedisRefuses as RedisRefuses,
    Resharding as Resharding,
    SigningKeysEncrypted as SigningKeysEncrypted,
    Unavailable as Unavailable,
)


class Invalid(BrokerError):
    """The request has a field, a parameter or a header that is not valid; the sentence names it."""

    status = 400
    code = "invalid_request"
    remedy = "Correct what the sentence names, and send the request again."


class Malformed(Invalid):
    """What came is not a request of HTTP/1.1. The connection closes."""

    code = "malformed_request"
    remedy = (
        "Send valid HTTP/1.1: percent-encode names in the URL, and let an HTTP library write "
        "the request."
    )


class Unreadable(Invalid):
    """The body is not JSON, or not JSON that can be kept exactly."""

    code = "unreadable_json"
    remedy = "Send one JSON object in UTF-8, without NaN, Infinity, or a key given twice."


class CallbackForbidden(Invalid):
    """The callback is no URL that the broker may call: its form is wrong, or its address forbidden.

    A callback that is no text at all (empty, too long, with a line break) is Invalid, as others.
    """

    code = "callback_forbidden"
    remedy = (
        "Correct the URL as the sentence says. Where the address is forbidden, name one that the "
        "broker [may call](callbacks.md#where-callbacks-may-go), or have the operator open its "
        "network by `--callback-allow`."
    )


class ExpectedTooLong(Invalid):
    """The job says that it will hold for longer than the policy's `expected_most`."""

    code = "expected_too_long"
    remedy = "Give a smaller `expected`, or have the operator raise `expected_most` of the policy."


class InvalidServer(Invalid):
    """A server is not named as the type's sources name servers; the sentence says which one."""

    code = "invalid_server"
    remedy = "Name the servers as their [source](openstack.md#naming-servers) does."


class TooManyKinds(Invalid):
    """The job lists more amounts than the policy's `most_kinds`."""

    code = "too_many_kinds"
    remedy = "Ask for fewer different amounts, or submit several jobs."

    @classmethod
    def check(cls, kinds: int, most: int) -> None:
        """Raise the error if a demand has more kinds than the policy's most."""
        if kinds > most:
            raise cls(
                f"data.instances lists {kinds} amounts, those of equal instances once; "
                f"the policy's most_kinds is {most}"
            )


class NotFound(BrokerError):
    """Nothing lives at this path."""

    status = 404
    code = "not_found"
    remedy = "Check the path: every call is listed at `/docs/api`."


class JobNotFound(NotFound):
    """The type has no such job."""

    code = "job_not_found"
    remedy = (
        "Check the type and the `request_id`, and whose job it is. A job that was deleted is gone."
    )


class AlreadyWithdrawn(JobNotFound):
    """The type has no such job any more: it was withdrawn within the last day."""

    code = "already_withdrawn"
    remedy = "Nothing: an earlier call withdrew it."


class HostNotFound(NotFound):
    """The type has no such host."""

    code = "host_not_found"
    remedy = "Check the name: `GET /types/{type}/hosts/` lists the hosts."


class SourceNotFound(NotFound):
    """The type has no such source."""

    code = "source_not_found"
    remedy = "Check the name: `GET /types/{type}/sources` lists the sources."


class TokenNotFound(NotFound):
    """There is no token of this name, or it was revoked."""

    code = "token_not_found"
    remedy = "Check the name: `GET /tokens` lists the tokens."


class DestinationNotFound(NotFound):
    """No job of the type was granted within a day with a callback to this destination."""

    code = "destination_not_found"
    remedy = "Give scheme, host and port as `GET /types/{type}/destinations` lists them."


class ReceiverTestNotFound(NotFound):
    """The type has no such test of a receiver, or its outcome is older than a minute."""

    code = "receiver_test_not_found"
    remedy = "Send another test, and read it within a minute."


class MethodNotAllowed(BrokerError):
    """The path does not have this method."""

    status = 405
    code = "method_not_allowed"
    remedy = "Use a method that the header `Allow` names."


class TooLarge(BrokerError):
    """The body is larger than the API reads, 1 MiB."""

    status = 413
    code = "body_too_large"
    remedy = "Send less: `data` is for what the broker must know or hand on, not for files."


class RequestTimeout(BrokerError):
    """The headers took more than 10 s, or the body more than 30 s. Nothing was carried out."""

    status = 408
    code = "request_timeout"
    remedy = "Send it again over a better connection, or in smaller parts."


class UriTooLong(BrokerError):
    """The URL is longer than the API reads, 16 KiB."""

    status = 414
    code = "uri_too_long"
    remedy = "Use shorter names in the URL."


class HeadersTooLarge(BrokerError):
    """URL and headers are larger than the API reads, 64 KiB."""

    status = 431
    code = "headers_too_large"
    remedy = "Send fewer or shorter headers; cookies are not needed."


class TooManyConnections(BrokerError):
    """As many connections are open as the process serves. The request was not read: repeat it."""

    status = 503
    code = "too_many_connections"
    remedy = (
        "Repeat it after `Retry-After`, close idle connections, or have the operator raise "
        "[`--max-connections`](operating.md#connections)."
    )


class Internal(BrokerError):
    """A fault of the broker; its log has the details."""

    code = "internal_error"
    remedy = (
        "Repeat it once. If it stays, give the operator the answer's `X-Request-ID`: the log "
        "has the details."
    )


class OlderNotifiers(BrokerError):
    """A notifier that serves the type does not know what the job, or the host, asks for."""

    status = 503
    code = "older_notifiers"
    remedy = "Have the operator upgrade every notifier, and repeat it then. Nothing was stored."


class TooManyQuestions(BrokerError):
    """Too many explanations or what-ifs of the type wait already; this one was not begun."""

    status = 429
    code = "too_many_questions"
    remedy = "Ask again after `Retry-After`, and less often: an answer holds for a second."
    retry_after = 2
    """Seconds until a caller should ask again."""


def _tree(root: type[BrokerError]) -> list[type[BrokerError]]:
    return [root, *(leaf for child in root.__subclasses__() for leaf in _tree(child))]


def by_word() -> dict[str, type[BrokerError]]:
    """Return the word of a script's error reply → the exception to raise, for the whole tree."""
    return {cls.code.upper(): cls for cls in _tree(BrokerError)}


def meaning(error: type[BrokerError]) -> str:
    """Return what an error means: the first paragraph of its class's text, in one line."""
    return " ".join((error.__doc__ or "").partition("\n\n")[0].split())


def by_status() -> list[type[BrokerError]]:
    """Return every error that an answer may carry, by status; those of one as in the tree."""
    return sorted(_tree(BrokerError)[1:], key=lambda error: error.status)
