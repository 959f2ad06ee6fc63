"""The OpenAPI document as one page for people: no script, nothing loaded from anywhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

import orjson

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 54rem; margin: 2rem auto; padding: 0 1rem;
       color: #1b1f24; background: #fff }
h2 { margin-top: 2.5rem; border-top: 1px solid #d8dee4; padding-top: 1.5rem }
code, pre { font: 14px/1.45 ui-monospace, monospace }
pre { background: #f6f8fa; padding: .75rem 1rem; overflow-x: auto; border-radius: 6px }
.method { display: inline-block; min-width: 4.5rem; font-weight: 700; text-transform: uppercase }
table { border-collapse: collapse } td { padding: .15rem 1rem .15rem 0; vertical-align: top }
@media (prefers-color-scheme: dark) {
  body { color: #e6edf3; background: #0d1117 } pre { background: #161b22 }
  h2 { border-color: #30363d } a { color: #6cb6ff }
}
"""


def html(document: Mapping[str, Any]) -> str:
    """Render the page."""
    info = document["info"]
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(info['title'])}: HTTP API</title><style>{_STYLE}</style>"
        f"<h1>{escape(info['title'])} <small>{escape(info['version'])}</small></h1>"
        f"<p>{escape(info['description'])}</p>"
        '<p>For programs: <a href="/openapi.json">/openapi.json</a>.</p>'
        + "".join(_operations(document["paths"]))
        + "<h1>Schemas</h1>"
        + "".join(_schemas(document["components"]["schemas"]))
        + "</html>"
    )


def _operations(paths: Mapping[str, Any]) -> Iterator[str]:
    for path, operations in paths.items():
        for method, operation in operations.items():
            name = operation["operationId"]
            yield (
                f'<h2 id="{name}"><span class="method">{method}</span> '
                f"<code>{escape(path)}</code></h2><p>{escape(operation['summary'])}</p>"
            )
            if note := operation.get("description"):
                yield f"<p>{_prose(note)}</p>"
            yield from _query(operation.get("parameters", ()))
            if asked := operation.get("requestBody"):
                yield _body(asked["content"]["application/json"])
            yield _table(
                (status, _prose(answer["description"]) + _shape(answer["content"]))
                for status, answer in operation["responses"].items()
            )


def _query(parameters: Any) -> Iterator[str]:
    rows = [(each["name"], each["description"]) for each in parameters if each["in"] == "query"]
    if rows:
        yield _table((f"?{name}=", escape(said)) for name, said in rows)


def _body(content: Mapping[str, Any]) -> str:
    example = escape(_pretty(content["example"]))
    return f"<p>Body: {_link(content['schema'])}, for example</p><pre>{example}</pre>"


def _shape(content: Mapping[str, Any]) -> str:
    (media,) = content.values()
    data = media["schema"].get("properties", {}).get("data", {})
    linked = _link(data) or _link(data.get("items", {}))
    many = "list of " if "items" in data and linked else ""
    return f" data: {many}{linked}" if linked else ""


def _schemas(schemas: Mapping[str, Any]) -> Iterator[str]:
    for name, schema in schemas.items():
        yield f'<h2 id="{name}">{name}</h2><pre>{escape(_pretty(schema))}</pre>'


def _link(schema: Mapping[str, Any]) -> str:
    name = schema.get("$ref", "").rpartition("/")[2]
    return f'<a href="#{name}">{name}</a>' if name else ""


def _table(rows: Iterator[tuple[str, str]]) -> str:
    cells = "".join(f"<tr><td><code>{name}</code><td>{said}" for name, said in rows)
    return f"<table>{cells}</table>"


def _prose(text: str) -> str:
    plain, *quoted = escape(text).split("`")
    return plain + "".join(
        f"<code>{part}" if number % 2 == 0 else f"</code>{part}"
        for number, part in enumerate(quoted)
    )


def _pretty(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
