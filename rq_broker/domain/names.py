"""The names of jobs: the client's `request_id`, and the name by which a type knows the job.

They are the same, unless the policy of the type says that `names` are per owner: then a job's name
is `<owner_id>/<request_id>`. No request_id holds a slash, so the last one of a name ends the owner.
"""

from __future__ import annotations


def owned_name(owner: str, request_id: str) -> str:
    """Return the name of a job where names are per owner.

    >>> owned_name("lab/7", "d")
    'lab/7/d'
    """
    return f"{owner}/{request_id}"


def owner_in(name: str) -> str | None:
    """Return the owner that a name holds, None where names are per type.

    >>> owner_in("lab/7/d"), owner_in("d")
    ('lab/7', None)
    """
    owner, slash, _ = name.rpartition("/")
    return owner if slash else None


def request_id_in(name: str) -> str:
    """Return the request_id in a name.

    >>> request_id_in("lab/7/d"), request_id_in("d")
    ('d', 'd')
    """
    return name.rpartition("/")[2]


def is_taken(name: str) -> str:
    """Return among which jobs a name is taken, as a refusal says it; lua/lib/owned has the same.

    >>> is_taken("lab/7/d"), is_taken("d")
    ("is taken among its owner's jobs", 'is taken in this type')
    """
    return "is taken in this type" if owner_in(name) is None else "is taken among its owner's jobs"


def whose_is_it(type_: str) -> str:
    """Return what a caller is told who has to say whose job it means."""
    return f"names of {type_} are per owner: give owner_id to say whose job it is"
