"""The OpenAPI document as one HTML page for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from html import escape
from typing import Any

import msgspec

from rq_broker.api import html


def html_page(document: Mapping[str, Any], root_path: str) -> str:
    """Render the page; `root_path` is as in `html.page`."""
    info = document["info"]
    content = "".join(
        [
            f"<h1>{escape(info['title'])} <small>{escape(info['version'])}</small></h1>",
            f"<p>{escape(info['description'])}</p>",
            *_operations(document["paths"]),
            "<h1>Schemas</h1>",
            *_schemas(document["components"]["schemas"]),
        ]
    )
    return html.page(f"{info['title']}: HTTP API", content, root_path)


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
            if body := operation.get("requestBody"):
                yield _body(body["content"]["application/json"])
            yield _table(
                (status, _prose(response["description"]) + _data(response["content"]))
                for status, response in operation["responses"].items()
            )


def _query(parameters: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    rows = [
        (f"?{parameter['name']}=", _prose(parameter["description"]))
        for parameter in parameters
        if parameter["in"] == "query"
    ]
    if rows:
        yield _table(rows)


def _body(content: Mapping[str, Any]) -> str:
    example = escape(_pretty(content["example"]))
    return f"<p>Body: {_links(content['schema'])}, for example</p><pre>{example}</pre>"


def _data(content: Mapping[str, Any]) -> str:
    """Link the schemas of `data` in an answer, if it has any."""
    properties = content.get("application/json", {}).get("schema", {}).get("properties", {})
    links = _links(properties.get("data", {}))
    return f" data: {links}" if links else ""


def _links(schema: Mapping[str, Any]) -> str:
    if reference := schema.get("$ref"):
        name = reference.rpartition("/")[2]
        return f'<a href="#{name}">{name}</a>'
    if "oneOf" in schema:
        return " or ".join(_links(alternative) for alternative in schema["oneOf"])
    for key, words in ("items", "list of"), ("additionalProperties", "object of"):
        inner = schema.get(key)
        if isinstance(inner, dict) and (links := _links(inner)):
            return f"{words} {links}"
    return ""


def _schemas(schemas: Mapping[str, Any]) -> Iterator[str]:
    for name, schema in schemas.items():
        yield f'<h2 id="{name}">{name}</h2><pre>{escape(_pretty(schema))}</pre>'


def _table(rows: Iterable[tuple[str, str]]) -> str:
    cells = "".join(f"<tr><td><code>{name}</code><td>{text}" for name, text in rows)
    return f"<table>{cells}</table>"


def _prose(text: str) -> str:
    """Escape a text, and set what stands between backquotes as code."""
    plain, *parts = escape(text).split("`")
    return plain + "".join(
        f"<code>{part}" if number % 2 == 0 else f"</code>{part}"
        for number, part in enumerate(parts)
    )


def _pretty(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
