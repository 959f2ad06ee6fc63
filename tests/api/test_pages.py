"""The documentation over HTTP: every page is served, its links lead somewhere, it loads nothing."""

from __future__ import annotations

import re
import tomllib
from base64 import b64encode
from fnmatch import fnmatch
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urldefrag

import httpx
import pytest

from rq_broker.api import create_app, markdown, pages
from rq_broker.domain import errors
from rq_broker.store.broker import Broker
from tests.api.conftest import refused

ROOT = Path(__file__).parents[2]
NAMES = sorted(path.stem for path in (ROOT / "rq_broker/api/docs").glob("*.md"))
TAGS = {
    *(
        "html",
        "meta",
        "title",
        "style",
        "nav",
        "main",
        "h1",
        "h2",
        "h3",
        "h4",
        "p",
        "ul",
        "ol",
        "li",
    ),
    *("a", "em", "strong", "small", "span", "code", "pre", "blockquote", "hr", "br"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}
"""The tags of a page; none of them makes a browser load anything."""


class Html(HTMLParser):
    """Collects the tags, the link targets and the anchors of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.anchors: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name == "href":
                self.links.append(value or "")
            if name == "id":
                self.anchors.append(value or "")


@pytest.mark.parametrize("name", NAMES)
async def test_every_page_is_served(api: httpx.AsyncClient, name: str) -> None:
    """Each Markdown file of the package is a page of HTML, with and without a trailing slash."""
    answer = await api.get(f"/docs/{name}")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    title = (ROOT / f"rq_broker/api/docs/{name}.md").read_text().splitlines()[0].lstrip("# ")
    assert f"<title>{title}: rq-broker</title>" in answer.text
    assert (await api.get(f"/docs/{name}/")).text == answer.text
    if name == "index":
        assert (await api.get("/docs")).text == (await api.get("/docs/")).text == answer.text


@pytest.mark.parametrize("root_path", ["", "/rq"])
async def test_every_link_leads_somewhere(broker: Broker, root_path: str) -> None:
    """From the index all pages are reached, below a proxy's path too; every anchor is there."""
    app = httpx.ASGITransport(create_app(broker, inbox=True), root_path=root_path)
    async with httpx.AsyncClient(transport=app, base_url="http://api.test") as client:
        reached: dict[str, Html] = {}
        waiting = [f"{root_path}/docs"]
        links = set()
        while waiting:
            path = waiting.pop()
            answer = await client.get(path)
            assert answer.status_code == 200, path
            reached[path] = Html(answer.text if path != f"{root_path}/openapi.json" else "")
            local = [link for link in reached[path].links if not link.startswith("https://")]
            links |= {(path, link) for link in local}
            targets = {urldefrag(link).url for link in local} - {"", *reached, *waiting}
            waiting += sorted(targets)
    expected = [f"/{name}" for name in [*NAMES, "api"] if name != "index"]
    assert set(reached) == {
        *(f"{root_path}/docs{name}" for name in ["", *expected]),
        f"{root_path}/openapi.json",
    }
    for path, link in links:
        target, anchor = urldefrag(link)
        assert not anchor or anchor in reached[target or path].anchors, (path, link)


@pytest.mark.parametrize("name", NAMES)
async def test_a_page_loads_nothing(api: httpx.AsyncClient, name: str) -> None:
    """A page runs no script, and has no image, style sheet or frame from elsewhere."""
    text = (await api.get(f"/docs/{name}")).text
    assert Html(text).tags <= TAGS
    style = text.partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style


async def test_the_reference_lists_everything(api: httpx.AsyncClient) -> None:
    """The API's page has every operation in the order of its chapter, and every error code."""
    document = (await api.get("/openapi.json")).json()
    chapters = [tag["name"] for tag in document["tags"]]
    operations = [each for path in document["paths"].values() for each in path.values()]
    operations.sort(key=lambda each: (chapters.index(each["tags"][0]), each["x-order"]))
    page = Html((await api.get("/docs/api/")).text)
    names = [each["operationId"] for each in operations]
    assert names[:3] == ["submit", "read", "update"]
    assert [anchor for anchor in page.anchors if anchor in names] == names
    codes = [f"error-{error.code}" for error in errors.by_status()]
    assert [anchor for anchor in page.anchors if anchor.startswith("error-")] == codes


async def test_the_reference_runs_its_own_script_only(api: httpx.AsyncClient) -> None:
    """Its policy names one style and one script by their hashes, and lets it call this API only."""
    answer = await api.get("/docs/api")
    policy = answer.headers["content-security-policy"]
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        (text,) = re.findall(f"<{tag}>(.*?)</{tag}>", answer.text, re.S)
        hashed = b64encode(sha256(text.encode()).digest()).decode()
        assert f"{directive} 'sha256-{hashed}';" in policy
    assert "connect-src 'self'" in policy
    assert "unsafe" not in policy
    assert not {"link", "img", "iframe", "object", "base"} & Html(answer.text).tags
    assert not re.findall(r"\sstyle=|\son\w+=|\ssrc=", answer.text.partition("<script>")[0])


@pytest.mark.parametrize("name", ["nowhere", "api.md", "%2e%2e", "../app.py", "index.html"])
async def test_an_unknown_page(api: httpx.AsyncClient, name: str) -> None:
    """A page that is not there is a 404 in the envelope, whatever file the name may spell."""
    answer = await api.get(f"/docs/{name}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_the_refusal_lists_the_pages(api: httpx.AsyncClient) -> None:
    """The sentence about an unknown page names the pages that there are."""
    refused(await api.get("/docs/nowhere"), 404, "not_found", f"the pages are {', '.join(NAMES)}")


@pytest.mark.parametrize(
    ("path", "accept"),
    [
        ("/docs/concepts.md", "*/*"),
        ("/docs/concepts.md/", "text/html"),
        ("/docs/concepts", "text/markdown"),
        ("/docs/concepts", "text/markdown;q=0.9, text/plain"),
    ],
)
async def test_the_markdown_of_a_page(api: httpx.AsyncClient, path: str, accept: str) -> None:
    """`.md` after the name, or Accept, asks for the Markdown itself."""
    answer = await api.get(path, headers={"accept": accept})
    assert answer.headers["content-type"] == "text/markdown; charset=utf-8"
    assert answer.headers["vary"] == "Accept"
    assert answer.text == (ROOT / "rq_broker/api/docs/concepts.md").read_text()


@pytest.mark.parametrize("accept", ["*/*", "text/html,application/xhtml+xml,*/*;q=0.8",
                                    "text/html, text/markdown"])  # fmt: skip
async def test_browsers_get_html(api: httpx.AsyncClient, accept: str) -> None:
    """A client that takes HTML gets HTML."""
    answer = await api.get("/docs/concepts", headers={"accept": accept})
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["vary"] == "Accept"


async def test_a_page_is_rendered_once(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the first request for a page costs its rendering."""
    pages._rendered.cache_clear()
    rendered: list[str] = []
    real = markdown.to_html

    def to_html(text: str, root_path: str) -> str:
        rendered.append(text)
        return real(text, root_path)

    monkeypatch.setattr(markdown, "to_html", to_html)
    for _ in range(2):
        await api.get("/docs/concepts")
    assert len(rendered) == 1


def test_the_pages_ship_with_the_wheel() -> None:
    """Every file of the package that is no Python module is in setuptools' package data."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["rq_broker"]
    package = ROOT / "rq_broker"
    files = [path.relative_to(package).as_posix() for path in package.rglob("*.*")]
    data = [name for name in files if not name.endswith((".py", ".pyc"))]
    assert {f"api/docs/{name}.md" for name in NAMES} <= set(data)
    assert [name for name in data if not any(fnmatch(name, rule) for rule in patterns)] == []


def test_html_in_a_page_is_shown_as_text() -> None:
    """HTML is escaped, comments are left out, and a link never runs a script."""
    text = (
        "<!-- generated:\nby a tool -->\n# A\n\n<b>x</b> [y](javascript:z)\n\n| a |\n|---|\n| b |\n"
    )
    html = markdown.to_html(text, "")
    assert "generated" not in html
    assert "&lt;b&gt;x&lt;/b&gt;" in html
    assert "href" not in html
    assert "<td>b</td>" in html


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [
        ("## A job as JSON", "a-job-as-json"),
        ("## Why, how long, what if", "why-how-long-what-if"),
        ("### `until_seen` and *holds*", "until_seen-and-holds"),
        ("## Größe 機", "größe-機"),
    ],
)
def test_headings_have_the_anchors_of_github(heading: str, anchor: str) -> None:
    """A heading's anchor is its text in lower case, with dashes for spaces, no punctuation."""
    assert Html(markdown.to_html(heading, "")).anchors == [anchor]


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("policy.md", "/rq/docs/policy"),
        ("policy.md#limits", "/rq/docs/policy#limits"),
        ("index.md", "/rq/docs"),
        ("/docs/api", "/rq/docs/api"),
        ("#below", "#below"),
        ("https://example.com/a.md", "https://example.com/a.md"),
    ],
)
def test_links_between_pages(link: str, target: str) -> None:
    """A link to a Markdown file becomes one to its page; the proxy's path stands before it."""
    assert Html(markdown.to_html(f"[x]({link})", "/rq")).links == [target]
