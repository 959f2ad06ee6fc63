"""ETag, If-Match and If-None-Match (RFC 9110): the version of a job in the headers.

The version is that of what is stored of the job (store/versions.py). `Position`, `Reason`,
`Warning` and `ETA` are no part of it: they change with other jobs. A proxy that compresses makes an
ETag weak (`W/"…"`); it is taken as the same, since it names the job and not its bytes.
"""

from __future__ import annotations

import re

from starlette.requests import Request

from rq_broker.api.responses import Reply
from rq_broker.domain.errors import Invalid
from rq_broker.domain.jobs import Job

_TAG = r'(?:W/)?"[!#-~\x80-\xff]*"'
_LIST = re.compile(rf"[\s,]*{_TAG}(?:\s*,[\s,]*{_TAG})*[\s,]*")
_VERSION = re.compile(r'"([^"]*)"')
_WHOLE = r"\d{1,16}"
_PLACE = rf"\.{_WHOLE}\.{_WHOLE}\.[ab]\.-?{_WHOLE}\.{_WHOLE}"
_LINE = re.compile(rf"\d{{1,20}}-\d{{1,20}}\.{_WHOLE}({_PLACE})?")
"""A version of the line, see store/lua/lib/line_version: no version of a job has a dot."""
ANY = frozenset('"')
"""What `*` stands for: no version has a quote in it. `"*"` in quotes is the ETag of no job."""
PATTERN = r'^(\*|(W/)?"[!#-~]*"(, ?(W/)?"[!#-~]*")*)$'
"""The same in JSON Schema, without what only lenient servers take."""


def etag(job: Job) -> tuple[bytes, bytes]:
    """Return the header ETag of an answer that holds a job."""
    return b"etag", b'"%b"' % job.version.encode()


def expected_versions(request: Request) -> frozenset[str] | None:
    """Return the versions in which a job may be changed, by If-Match; None: in any.

    Raises Invalid for a header that is none.
    """
    versions = _versions(request, "If-Match")
    return None if versions == ANY else versions


def expected_line(versions: frozenset[str] | None) -> str | None:
    """Return the version of the line among those that If-Match names, None if it names none.

    Raises Invalid where it stands beside others.
    """
    if not versions or not any(map(_LINE.fullmatch, versions)):
        return None
    if len(versions) > 1:
        raise Invalid("If-Match names versions of the job, or one version of the line")
    return next(iter(versions))


def refuse_line(versions: frozenset[str] | None) -> None:
    """Raise Invalid where a change that moves no job names a version of the line."""
    if any(map(_LINE.fullmatch, versions or ())):
        raise Invalid(
            "If-Match names a version of the line, which guards a move only: give the ETag of the "
            "job"
        )


def refuse_for_array(versions: frozenset[str] | None) -> None:
    """Raise Invalid where a change of a whole array names versions, which it has none of."""
    if versions is not None:
        raise Invalid("If-Match is for one job: an array as a whole has no ETag")


def is_known(request: Request, job: Job) -> bool:
    """Return whether the caller has the job in its version, by If-None-Match. Raises Invalid."""
    versions = _versions(request, "If-None-Match")
    return versions is not None and (versions == ANY or job.version in versions)


def not_modified(job: Job) -> Reply:
    """Answer 304: the caller has the job as it is."""
    reply = Reply(b"", 304)
    reply.raw_headers = [
        header
        for header in (*reply.raw_headers, etag(job))
        if header[0] not in (b"content-type", b"content-length")
    ]
    return reply


def _versions(request: Request, header: str) -> frozenset[str] | None:
    """Return what a header lists, ANY for `*`; None without the header."""
    values = request.headers.getlist(header)
    if not values:
        return None
    text = ",".join(values).strip()
    if text == "*":
        return ANY
    if not _LIST.fullmatch(text):
        raise Invalid(
            f'the header {header} must be * or ETags in double quotes, such as "Zk3v9Qx1bT0aWc2u"'
        )
    return frozenset(_VERSION.findall(text))
