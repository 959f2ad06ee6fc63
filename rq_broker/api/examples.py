"""Writes each example of an operation twice: as a curl command, and in Python.

They are what somebody would type against `rq-broker dev`: the page shows them side by side, and a
test runs each in the page's order.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from starlette.routing import Route

from rq_broker.api.operations.group import Example
from rq_broker.api.operations.row import Operation

SERVER = "http://127.0.0.1:8080"
"""What the examples call; the page puts the address in its place at which it was opened."""
TOKEN = "RQ_BROKER_TOKEN"
"""The variable in which examples have a token, where the API asks for one."""
USUAL: Mapping[str, str] = {
    "type": "vm",
    "request_id": "train-42",
    "host": "bench-1",
    "source": "placement",
    "token": "lab-7",
    "test": "before-friday",
    "page": "concepts",
    "rest": "granted",
}
"""Path parameter → its value in examples."""
_ANSWERS = Path(__file__).with_name("static") / "answers.json"
_WIDTH = 66
"""Columns of a line: two examples side by side are to fit on a laptop's screen."""


def recorded_answers() -> Mapping[str, Any]:
    """Return what examples answer, by operation; scripts/examples.py has written it down."""
    recorded: dict[str, Any] = json.loads(_ANSWERS.read_bytes())
    return recorded


def samples(route: Route, operation: Operation, *, with_token: bool) -> list[dict[str, Any]]:
    """Return the examples of an operation as `x-codeSamples` has them: title, curl, Python."""
    method = min((route.methods or set()) - {"HEAD"})
    texts = []
    for example in operation.examples:
        path = {name: example.path.get(name, USUAL[name]) for name in route.param_convertors}
        body = example.body
        if body is None and operation.body:
            body = operation.body.example
        where = route.path_format.format_map({name: quote(each) for name, each in path.items()})
        url = f"{SERVER}{where}{_query(example)}"
        is_stream = "text/event-stream" in operation.media
        python = (
            _client_call(example.python, with_token=with_token)
            if example.python
            else _method_call(route.name, [*path.values()], example, body, with_token=with_token)
            or _http_call(method, url, body, with_token=with_token, is_stream=is_stream)
        )
        curl = _curl(method, url, body, with_token=with_token, is_stream=is_stream)
        texts.append({"lang": "Shell", "label": "curl", "source": curl, "x-title": example.title})
        texts.append({"lang": "Python", "label": "Python", "source": python})
    return texts


def _query(example: Example) -> str:
    return f"?{urlencode(example.query)}" if example.query else ""


def _curl(method: str, url: str, body: Any, *, with_token: bool, is_stream: bool) -> str:
    parts = ["curl -sN --max-time 2" if is_stream else "curl -s"]
    if method not in ("GET", "POST") or (method == "POST" and body is None):
        parts.append(f"-X {method}")
    if with_token:
        parts.append(f'-H "Authorization: Bearer ${TOKEN}"')
    parts.append(f"'{url}'" if set(url) & set("?&[]*") else url)
    command = " ".join(parts)
    if len(command) > _WIDTH:
        command = " \\\n  ".join((" ".join(parts[:-1]), parts[-1]))
    return command if body is None else f"{command} \\\n  -d '{_json(body)}'"


def _json(value: Any) -> str:
    """Return JSON with what fits into a line in one line."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) < _WIDTH - 8 else "\n".join(_lines(value, "", "", text_of=_json_text))


def _python(value: Any, key: str) -> str:
    """Return a Python literal, likewise, as the argument of this name."""
    head, *rest = _lines(value, "", "", text_of=_python_text)
    return "\n".join((f"{key}={head}", *rest))


def _json_text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _python_text(value: Any) -> str:
    """Return a literal with the quotes that Python code has mostly, which are those of JSON."""
    match value:
        case dict():
            inner = (f"{_python_text(key)}: {_python_text(each)}" for key, each in value.items())
            return f"{{{', '.join(inner)}}}"
        case list():
            return f"[{', '.join(map(_python_text, value))}]"
        case str():
            return _json_text(value)
        case _:
            return repr(value)


def _lines(value: Any, indent: str, name: str, *, text_of: Callable[[Any], str]) -> Iterator[str]:
    flat = text_of(value)
    if not (isinstance(value, dict | list) and value) or len(indent + name + flat) < _WIDTH - 14:
        yield f"{indent}{name}{flat}"
        return
    first, last = "{}" if isinstance(value, dict) else "[]"
    yield f"{indent}{name}{first}"
    names = [f"{text_of(key)}: " for key in value] if isinstance(value, dict) else [""] * len(value)
    elements = value.values() if isinstance(value, dict) else value
    for number, (inner, element) in enumerate(zip(names, elements, strict=True)):
        *lines, end = _lines(element, f"{indent}  ", inner, text_of=text_of)
        yield from lines
        yield f"{end}," if number + 1 < len(names) else end
    yield f"{indent}{last}"


def _client_call(code: str, *, with_token: bool) -> str:
    token = f', token=os.environ["{TOKEN}"]' if with_token else ""
    head = "import os\n\n" if with_token else ""
    opened = f'with Client("{SERVER}"{token}) as broker:'
    if len(opened) > _WIDTH:
        opened = f'with Client(\n    "{SERVER}"{token}\n) as broker:'
    return f"{head}from rq_broker.client import Client\n\n{opened}\n{textwrap.indent(code, '    ')}"


def _method_call(
    name: str, path: list[str], example: Example, body: Any, *, with_token: bool
) -> str | None:
    """Return the call of the client's method of this name; None if it has none."""
    from rq_broker.client import Client  # noqa: PLC0415 - imports httpx, which the API needs for nothing else

    method = getattr(Client, name, None)
    if method is None or (body is not None and not isinstance(body, dict)):
        return None
    named = {**example.query, **(body or {})}
    arguments = [json.dumps(each) for each in path]
    arguments += [_python(value, key) for key, value in named.items()]
    call = f"broker.{name}({', '.join(arguments)})"
    if "\n" in call or len(call) > _WIDTH - 14:
        listed = "".join(f"{each},\n" for each in arguments)
        call = f"broker.{name}(\n{textwrap.indent(listed, '    ')})"
    if "None" not in str(method.__annotations__.get("return", "")):
        call = f"answer = {call}\nprint(answer)"
    return _client_call(call, with_token=with_token)


def _http_call(method: str, url: str, body: Any, *, with_token: bool, is_stream: bool) -> str:
    arguments = [json.dumps(url)]
    if body is not None:
        arguments.append(_python(body, "json"))
    if with_token:
        arguments.append(f'headers={{"Authorization": f"Bearer {{os.environ[\'{TOKEN}\']}}"}}')
    verb = "stream" if is_stream else method.lower()
    if is_stream:
        arguments.insert(0, f'"{method}"')
    listed = ", ".join(arguments)
    if "\n" in listed or len(listed) > _WIDTH - 24:
        listed = "\n" + textwrap.indent("".join(f"{each},\n" for each in arguments), "    ")
    head = "import os\n\n" if with_token else ""
    if is_stream:
        return (
            f"{head}import httpx\n\nwith httpx.stream({listed}) as answer:\n"
            "    for line in answer.iter_lines():\n        print(line)"
        )
    return (
        f"{head}import httpx\n\nanswer = httpx.{verb}({listed})\n"
        "print(answer.raise_for_status().text)"
    )
