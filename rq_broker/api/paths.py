"""Path parameters: how handlers read them, and their types in the API document."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any
from urllib.parse import quote

from msgspec import Meta
from starlette.requests import Request

from rq_broker.domain.validation import SOURCE_NAME, TYPE_NAME, Name, TypeName

PARAMETERS: Mapping[str, Any] = {
    "type": TypeName,
    "request_id": Name,
    "host": Name,
    "source": Annotated[str, SOURCE_NAME.meta()],
    "token": Name,
    "test": Name,
    "page": Annotated[
        str,
        Meta(
            pattern=r"^[a-z-]+(\.md)?$",
            description="Name of a page. With `.md` the answer is its Markdown.",
        ),
    ],
    "rest": Annotated[str, Meta(min_length=1, description="Any path below the inbox.")],
}
"""Path parameter → its type."""


def location(request: Request, *segments: str) -> str:
    """Join segments to the path of what a request made, percent-encoded, as its client sees it."""
    root: str = request.scope.get("root_path", "")
    return "/".join((root, *map(_quoted, segments)))


_is_plain = re.compile(r"[\w.~-]*", re.ASCII).fullmatch


def _quoted(segment: str) -> str:
    """Percent-encode a segment; most need no encoding, which is found in a fifth of the time."""
    return segment if _is_plain(segment) else quote(segment, safe="")


def type_of(request: Request) -> str:
    """Return the type that the path names. Raises Invalid if no type can have this name."""
    return type_name(request.path_params["type"])


def job_of(request: Request) -> tuple[str, str]:
    """Return the type and the request_id that the path names. Raises Invalid for the type."""
    return type_of(request), request.path_params["request_id"]


def host_of(request: Request) -> tuple[str, str]:
    """Return the type and the host that the path names. Raises Invalid for the type."""
    return type_of(request), request.path_params["host"]


def source_of(request: Request) -> tuple[str, str]:
    """Return the type and the source that the path names. Raises Invalid for the type."""
    return type_of(request), request.path_params["source"]


def type_name(value: str) -> str:
    """Return the name of a type if a type can have it. Raises Invalid."""
    # A longer name is refused before the cache could keep it.
    return _type_name(value) if len(value) <= TYPE_NAME.limit else TYPE_NAME.check(value, "type")


@lru_cache(1024)
def _type_name(value: str) -> str:
    return TYPE_NAME.check(value, "type")
