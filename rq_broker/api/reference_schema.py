"""A JSON Schema as HTML: a table of fields, and those of nested objects to fold out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

import msgspec

from rq_broker.api.markdown import inline
from rq_broker.domain.validation import MAX_WHOLE

Schema = Mapping[str, Any]
_LIMITS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} elements",
    "maxItems": "at most {} elements",
}
"""Keyword → how the page says it."""


class Fields:
    """Renders schemas of one document."""

    def __init__(self, components: Mapping[str, Schema]) -> None:
        self._components = components

    def html(self, schema: Schema, within: tuple[str, ...] = ()) -> str:
        """Return the fields of a schema; `within` names the components that it is part of."""
        schema, within = self._resolved(schema, within)
        if alternatives := self._alternatives(schema):
            return "".join(
                f'<p class="either">{"either" if number == 0 else "or"} '
                f"{self._type(each)}</p>{self.html(each, within)}"
                for number, each in enumerate(alternatives)
            )
        if "properties" in schema:
            required = schema.get("required", ())
            rows = [
                self._row(name, field, name in required, within)
                for name, field in schema["properties"].items()
            ]
            return f'<dl class="fields">{"".join(rows)}</dl>'
        inner = self._inner(schema)
        return self.html(inner, within) if inner else ""

    def _row(self, name: str, field: Schema, required: bool, within: tuple[str, ...]) -> str:
        mark = "" if required else ' <span class="optional">optional</span>'
        type_ = f"<span class=type>{self._type(field)}</span>"
        parts = [f"<dt><code>{escape(name)}</code> {type_}{mark}</dt>"]
        resolved, seen = self._resolved(field, within)
        about = field.get("description") or resolved.get("description", "")
        limits = ", ".join(self._limits(resolved))
        text = " ".join(filter(None, (inline(about), f"<small>{limits}</small>" if limits else "")))
        nested = self._nested(resolved, seen, is_open=name == "data" and not within)
        if text or nested:
            parts.append(f"<dd>{text}{nested}</dd>")
        return "".join(parts)

    def _nested(self, schema: Schema, within: tuple[str, ...], *, is_open: bool) -> str:
        fields = self.html(schema, within) if len(within) < 4 else ""
        opened = "<details open>" if is_open else "<details>"
        return f"{opened}<summary>its fields</summary>{fields}</details>" if fields else ""

    def _resolved(self, schema: Schema, within: tuple[str, ...]) -> tuple[Schema, tuple[str, ...]]:
        """Follow a reference; a component within itself is shown as having no fields."""
        name = schema.get("$ref", "").rpartition("/")[2]
        if not name:
            return schema, within
        if name in within:
            return {"description": self._components[name].get("description", "")}, within
        return self._components[name], (*within, name)

    @staticmethod
    def _alternatives(schema: Schema) -> list[Schema]:
        """Return what a value may be, if several with fields; null is said by the type."""
        options = [*schema.get("oneOf", ()), *schema.get("anyOf", ())]
        return [each for each in options if each.get("type") != "null"]

    @staticmethod
    def _inner(schema: Schema) -> Schema | None:
        inner = schema.get("items", schema.get("additionalProperties"))
        return inner if isinstance(inner, dict) else None

    def _type(self, schema: Schema) -> str:
        """Say what a value is: `list of Job`, `integer or null`."""
        if reference := schema.get("$ref"):
            name = reference.rpartition("/")[2]
            component = self._components[name]
            return escape(name) if "properties" in component else self._type(component)
        words = [schema["const"]] if "const" in schema else schema.get("enum", ())
        if words:
            return " | ".join(f"<code>{escape(_json(word), quote=False)}</code>" for word in words)
        if options := [*schema.get("oneOf", ()), *schema.get("anyOf", ())]:
            return " or ".join(dict.fromkeys(self._type(each) for each in options))
        if inner := self._inner(schema):
            return f"{'list of' if 'items' in schema else 'map of name to'} {self._type(inner)}"
        type_ = schema.get("type", "any")
        return escape(" or ".join(type_) if isinstance(type_, list) else type_)

    @staticmethod
    def _limits(schema: Schema) -> Iterator[str]:
        for keyword, words in _LIMITS.items():
            if keyword in schema:
                value = schema[keyword]
                shown = f"{value:,}" if abs(value) < MAX_WHOLE else "±(2<sup>53</sup>−1)"
                text = words.format(shown)
                yield text.removesuffix("s") if value == 1 and text.endswith("s") else text
        if "default" in schema and schema["default"] is not None:
            yield f"default <code>{escape(_json(schema['default']))}</code>"


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
