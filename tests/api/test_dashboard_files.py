"""The dashboard's page and files over HTTP: where they are, and how a browser may keep them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

import rq_broker.api
from rq_broker.api import create_app
from rq_broker.store.broker import Broker
from tests.api.conftest import BASE, refused
from tests.api.tenants import WhoHeader
from tests.pages import page, rows, spans

VENDOR = Path(rq_broker.api.__file__).with_name("dashboard") / "vendor"
PAGES = ["/", "/line/vm", "/job/docs/d", "/hosts/虛擬機/", "/audit/vm", "/line/a b"]
LOADED = ["dashboard/css/all.css", "dashboard/favicon.svg", "dashboard/js/all.js",
          "dashboard/vendor/htm-preact-standalone.module.js"]  # fmt: skip
WITH_CHARTS = ["dashboard/x/vendor/uPlot.iife.min.js", "dashboard/x/vendor/uPlot.min.css"]
MOST_BYTES = 150_000
NOWHERE = ["/line", "/line/vm/d", "/job/vm/d/e", "/dashboard/x/index.html", "/dashboard",
           "/dashboard/x/js/app.js", "/dashboard/x/../../../api/app.py", "/dashboard/x/vendor",
           "/dashboard/x//etc/passwd", "/dashboard/x/vendor/htm.LICENSE"]  # fmt: skip


@pytest.fixture
async def api(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    """Return a client that is not checked against the API's document: the page is not in it."""
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://a.test") as client:
        yield client


def files(html: str) -> list[str]:
    """Return the paths of what the page loads."""
    return re.findall(r'(?:href|src)="(dashboard/[^"]+)"', html)


async def test_the_page_and_its_files(api: httpx.AsyncClient) -> None:
    """Each view's path is the page, which may be asked for again; a file may be kept for good."""
    for path in PAGES:
        answer = await api.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (
            200,
            "text/html; charset=utf-8",
        )
        assert answer.headers["cache-control"] == "no-cache"
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; ")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "no-referrer"
        again = await api.get(path, headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
    names = files((await api.get("/")).text)
    assert sorted(re.sub("/[0-9a-f]{16}/", "/", name) for name in names) == LOADED
    for name in names:
        answer = await api.get(f"/{name}")
        assert answer.status_code == 200
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["content-encoding"] == "gzip"
        plain = await api.get(f"/{name}", headers={"Accept-Encoding": "identity"})
        assert "content-encoding" not in plain.headers
        assert plain.content == answer.content
        other = await api.get(re.sub("/[0-9a-f]{16}/", "/0123456789abcdef/", f"/{name}"))
        assert (other.content, other.headers["cache-control"]) == (plain.content, "no-cache")


async def test_all_of_it_is_light(api: httpx.AsyncClient) -> None:
    """The page and all its files, those of charts too, are 150 KB at most as they are sent."""
    names = ["", *files((await api.get("/")).text), *WITH_CHARTS]
    answers = [await api.get(f"/{name}") for name in names]
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.headers["content-encoding"] for answer in answers} == {"gzip"}
    assert sum(int(answer.headers["content-length"]) for answer in answers) <= MOST_BYTES


@pytest.mark.parametrize("path", NOWHERE)
async def test_nothing_else_is_reachable(api: httpx.AsyncClient, path: str) -> None:
    """A path that is of no view, and a file that the page does not load, is a 404."""
    request = api.build_request("GET", "/")
    request.url = request.url.copy_with(raw_path=path.encode())  # httpx takes `..` away
    refused(await api.send(request), 404, "not_found")


async def test_the_page_is_read_only(api: httpx.AsyncClient) -> None:
    """What changes has no meaning at the page: a 405."""
    answer = await api.post("/", json={})
    refused(answer, 405, "method_not_allowed", "allowed are GET, HEAD")


def test_what_others_wrote_is_listed() -> None:
    """Each file of others is as the table says, with its licence beside it; there is no more."""
    listed = {spans(name)[0]: cells for name, *cells in rows(page("development"), "file")}
    licences = set()
    for name, (_version, licence, _source, digest) in listed.items():
        assert spans(digest) == [sha256((VENDOR / name).read_bytes()).hexdigest()]
        licences |= set(spans(licence))
    assert {path.name for path in VENDOR.iterdir()} == {*listed, *licences}


async def test_whoever_comes_gets_the_page(broker: Broker) -> None:
    """The page and its files need no identity, as they ask for it; all data needs one."""
    app = create_app(broker, callback_base=BASE, authenticators=[WhoHeader()])
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://a.test"
    ) as api:
        for path in (*PAGES, f"/{files((await api.get('/')).text)[0]}"):
            assert (await api.get(path)).status_code == 200, path
        for path in ("/v1", "/audit", "/line", "/v1/vm/docs"):
            refused(await api.get(path), 401, "unauthenticated")
        refused(await api.post("/", json={}), 401, "unauthenticated")


async def test_an_api_without_a_page(broker: Broker) -> None:
    """With dashboard=False there is nothing at / nor below it but the API."""
    transport = httpx.ASGITransport(create_app(broker, dashboard=False))
    async with httpx.AsyncClient(transport=transport, base_url="http://a.test") as api:
        for path in ("/", "/line/vm", "/dashboard/x/js/all.js"):
            refused(await api.get(path), 404, "not_found")


@pytest.mark.parametrize("root", ["/queue", "/a/b"])
async def test_below_a_prefix(broker: Broker, root: str) -> None:
    """Mounted below a path, or served below one by a proxy, the page's paths begin there."""
    mounted = httpx.ASGITransport(Starlette(routes=[Mount(root, app=create_app(broker))]))
    proxied = httpx.ASGITransport(create_app(broker), root_path=root)
    for transport in (mounted, proxied):
        async with httpx.AsyncClient(transport=transport, base_url="http://a.test") as api:
            for path in (f"{root}/", f"{root}/line/vm"):
                html = (await api.get(path)).text
                assert f'<base href="{root}/">' in html
            assert (await api.get(f"{root}/{files(html)[0]}")).status_code == 200


def test_no_script_of_the_page_makes_markup_of_text() -> None:
    """Nothing in it parses text as HTML or as a program, or sets a style as text."""
    forbidden = (
        *("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "srcdoc"),
        *("new Function", "DOMParser", 'setAttribute("style"', "javascript:", 'style="'),
        "createContextualFragment",
    )
    files = sorted((VENDOR.parent / "js").rglob("*.js"))
    assert len(files) > 10
    found = [
        f"{file.name}: {word}" for file in files for word in forbidden if word in file.read_text()
    ]
    assert found == []
