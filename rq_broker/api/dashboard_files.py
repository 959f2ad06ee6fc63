"""The dashboard: a page that is a client of this API like any other, and the files it loads.

Each file has its content's digest in its path, so a browser keeps it for good and never mixes two
versions. Files are read, rid of comments and compressed once a process: Starlette's StaticFiles
would read the disk at each request, its GZipMiddleware stand before every answer of the API.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import sha256
from html import escape
from mimetypes import guess_type
from pathlib import Path

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from rq_broker.api.dashboard_script import join
from rq_broker.api.html import HEADERS
from rq_broker.api.responses import UNSNIFFED
from rq_broker.domain.errors import NotFound

_FOLDER = Path(__file__).with_name("dashboard")
_INDEX = "index.html"
_SUFFIXES = (".js", ".css", ".svg")
"""Endings of what is served: notes and licences beside it are for people who read the source."""
_PAGE_HEADERS: Mapping[str, str] = {
    **HEADERS,
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'self'; form-action 'none'; "
    "frame-ancestors 'none'",
    "cache-control": "no-cache",
}
_FOREVER = "public, max-age=31536000, immutable"
"""Cache-Control of a file whose path holds its digest."""
VIEWS = ("line", "hosts", "job", "callbacks", "reports", "audit", "policy")
"""First segments of the paths at which the page shows a view; the next one is the type's name."""
_FILES = "dashboard"
"""First segment of the paths of files; the next one is the digest of all of them."""
_STYLES = "css/all.css"
"""All style sheets as one: a small file compresses badly, and each is a request."""
_SCRIPT = "js/all.js"
"""All modules as one, for the same reason."""
_FIRST_MODULE = "js/app.js"
_STYLE_LINK = re.compile(rf'<link rel="stylesheet" href="{_FILES}/(css/[^"]+)">\n')
_COMMENTS = {
    ".css": re.compile(r"/\*.*?\*/", re.DOTALL),
    ".js": re.compile(r"^ *//.*|^ +|(?<=[;,{}()]) //[^`'\"\n]*$", re.MULTILINE),
}
"""What is not sent of our own files: comments, and indents, which mean nothing in a template
either. Minifiers that know more of both languages save no more bytes once all is compressed."""


@dataclass(frozen=True)
class _File:
    """A file as it is sent."""

    content: bytes
    media_type: str

    @cached_property
    def gzipped(self) -> bytes:
        """The content as nearly every client takes it."""
        return gzip.compress(self.content, mtime=0)

    @cached_property
    def etag(self) -> str:
        """The ETag: it is weak, as it names the content and not how it is compressed."""
        return f'W/"{sha256(self.content).hexdigest()[:32]}"'

    def answer(self, asked: Headers, headers: Mapping[str, str]) -> Response:
        """Return the file, compressed if the client takes that, or 304 if it has it."""
        headers = {**headers, "etag": self.etag, "vary": "Accept-Encoding"}
        if self.etag in asked.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if "gzip" not in asked.get("accept-encoding", ""):
            return Response(self.content, media_type=self.media_type, headers=headers)
        headers["content-encoding"] = "gzip"
        return Response(self.gzipped, media_type=self.media_type, headers=headers)


class Dashboard(BaseRoute):
    """The route of the page at / and at the paths of its views, and of its files.

    It is one route that stands behind those of the API: it needs no identity, and is no operation.
    """

    methods = frozenset(("GET", "HEAD"))
    first_segments = frozenset(("", *VIEWS, _FILES))

    def covers(self, scope: Scope) -> bool:
        """Return whether a path is of the page or of a file."""
        first, *others = _segments(scope)
        if first not in self.first_segments:
            return False
        if first == "":
            return not others
        return len(others) == 1 or first == _FILES or (first == "job" and len(others) == 2)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Tell Starlette's router whether this route answers."""
        if scope["type"] != "http" or not self.covers(scope):
            return Match.NONE, {}
        match = Match.FULL if scope["method"] in self.methods else Match.PARTIAL
        return match, {"endpoint": self}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the page or a file. Raises NotFound."""
        if scope["method"] not in self.methods:
            raise HTTPException(405)
        first, *others = _segments(scope)
        asked = Headers(scope=scope)
        if first == _FILES:
            answer = _file(asked, *others)
        else:
            answer = _page(scope.get("root_path", "")).answer(asked, _PAGE_HEADERS)
        await answer(scope, receive, send)


def _segments(scope: Scope) -> list[str]:
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", "")).removeprefix("/").split("/")


def _file(asked: Headers, version: str = "", *path: str) -> Response:
    name = "/".join(path)
    file = _files().get(name)
    if file is None or not name.endswith(_SUFFIXES):
        raise NotFound(f"the dashboard has no file {name!r}")
    # A page of the version before, or after, while a new one is rolled out, gets what is here.
    kept = _FOREVER if version == _version() else "no-cache"
    return file.answer(asked, {**UNSNIFFED, "cache-control": kept})


@lru_cache(8)
def _page(root_path: str) -> _File:
    """Return the page. Its paths begin at the prefix below which the API is mounted."""
    text = _files()[_INDEX].content.decode()
    text = _STYLE_LINK.sub("", text).replace(
        "</title>", f'</title>\n<link rel="stylesheet" href="{_FILES}/{_STYLES}">'
    )
    text = text.replace('<base href="/">', f'<base href="{escape(root_path)}/">')
    # A browser learns of a module from the module that imports it; so it asks for both at once.
    modules = "".join(
        f'<link rel="modulepreload" href="{_FILES}/{name}">\n'
        for name in _files()
        if name.endswith(".module.js")
    )
    text = text.replace("</head>", f"{modules}</head>")
    text = text.replace(f'"{_FILES}/{_FIRST_MODULE}"', f'"{_FILES}/{_SCRIPT}"')
    text = text.replace(f'"{_FILES}/', f'"{_FILES}/{_version()}/')
    return _File(text.encode(), "text/html")


@lru_cache(1)
def _files() -> dict[str, _File]:
    """Return name → every file of the page."""
    contents = {
        path.relative_to(_FOLDER).as_posix(): path.read_bytes()
        for path in sorted(_FOLDER.rglob("*"))
        if path.is_file()
    }
    for name, content in contents.items():
        if name.startswith(("js/", "css/")):
            contents[name] = _COMMENTS[Path(name).suffix].sub("", content.decode()).encode()
    sheets = _STYLE_LINK.findall(contents[_INDEX].decode())
    contents[_STYLES] = b"".join(contents.pop(name) for name in sheets)
    modules = {
        name: contents.pop(name).decode() for name in list(contents) if name.startswith("js/")
    }
    contents[_SCRIPT] = join(modules, _FIRST_MODULE, str(Path(_SCRIPT).parent)).encode()
    return {
        name: _File(content, guess_type(name)[0] or "text/plain")
        for name, content in contents.items()
    }


@lru_cache(1)
def _version() -> str:
    """Return the digest of all files."""
    parts = [f"{name} {file.etag}" for name, file in _files().items()]
    return sha256("\n".join(parts).encode()).hexdigest()[:16]
