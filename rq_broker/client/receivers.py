"""The calls about receivers of callbacks: what they do, tests, resets, and signing keys."""

from __future__ import annotations

from collections.abc import Sequence

from rq_broker.client.call import Call, Json, data_of, path


def _nothing(_: Json) -> None:
    return None


def _requeued(envelope: Json) -> int:
    return int(envelope["data"]["requeued"])


def destinations(type_: str) -> Call[Json]:
    """Read the destinations of a type's callbacks.

    Returns:
        `destinations`: each with its circuit breaker; `outage`: whether most of them fail at the
        same time, so that the broker's own network is at fault.
    """
    return Call(data_of, "GET", path("types", type_, "destinations"))


def reset(type_: str, destination: str, owner: str | None = None) -> Call[None]:
    """Close the circuit breakers of a destination, and end the pauses it asked for.

    Args:
        type_: The queue's name.
        destination: Scheme, host and port, such as `http://10.0.0.9:80`.
        owner: Only for the jobs of this owner, `""` for jobs without one; None for all.

    Raises:
        DestinationNotFound: No such job of the type was granted lately to be called there.
    """
    return Call(_nothing, "POST", path("types", type_, "destinations", "reset"),
                _receiver(destination, owner))  # fmt: skip


def requeue(type_: str, destination: str, owner: str | None = None) -> Call[int]:
    """Requeue every job whose callbacks to a destination failed, but for those that answered 410.

    Args:
        type_: The queue's name.
        destination: Scheme, host and port, such as `http://10.0.0.9:80`.
        owner: Only the jobs of this owner, `""` for jobs without one; None for all.

    Returns:
        The number of jobs that are queued again.
    """
    return Call(_requeued, "POST", path("types", type_, "destinations", "requeue"),
                _receiver(destination, owner), repeatable=False)  # fmt: skip


def send_test(type_: str, test: str, callback: str, owner: str = "") -> Call[Json]:
    """Have a notifier send one test message to a receiver.

    Args:
        type_: The queue's name.
        test: Its name, which you choose; the same one again within a minute sends nothing.
        callback: Where it goes: a URL, as that of a job.
        owner: Whose keys it is signed with; `""`: those of every owner.

    Returns:
        The test as it is now: read it with `receiver_test` until it has a `cause`.

    Raises:
        CallbackForbidden: Nothing may be sent there.
        TooManyReceiverTests: No notifier has taken those that wait.
    """
    return Call(data_of, "PUT", _test(type_, test), {"callback": callback, "owner": owner})


def receiver_test(type_: str, test: str) -> Call[Json]:
    """Read a test message: `sent`, and once it is known its `cause` and `milliseconds`.

    Args:
        type_: The queue's name.
        test: Its name.

    Raises:
        ReceiverTestNotFound: There is none, or no more: it is kept for a minute.
    """
    return Call(data_of, "GET", _test(type_, test))


def _test(type_: str, test: str) -> str:
    return path("types", type_, "destinations", "tests", test)


def _receiver(destination: str, owner: str | None) -> dict[str, str]:
    return {"destination": destination, **({} if owner is None else {"owner": owner})}


def keys(type_: str) -> Call[dict[str, list[str]]]:
    """Read the fingerprints of the keys that callbacks are signed with.

    Returns:
        Owner, or `*` for every owner → fingerprints, newest key first.
    """
    return Call(data_of, "GET", path("types", type_, "keys"))


def set_keys(type_: str, owner: str, keys: Sequence[str]) -> Call[dict[str, list[str]]]:
    """Set the signing keys of one owner.

    Args:
        type_: The queue's name.
        owner: The owner's id, or `*` for every owner that has no keys of its own.
        keys: `whsec_…`, newest first; two sign at once while they rotate. An empty sequence
            removes the owner's keys.

    Returns:
        As `keys`.
    """
    body = {"owner": owner, "keys": list(keys)}
    return Call(data_of, "PUT", path("types", type_, "keys"), body)
