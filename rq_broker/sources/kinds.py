"""Finds a source by the `kind` of its TOML table: one of the broker's own, or anybody's class."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Any

from rq_broker.sources.failures import Misconfigured
from rq_broker.sources.source import Source

KINDS: Mapping[str, str] = {
    "file": "rq_broker.sources.file:FileSource",
    "kube": "rq_broker.sources.kube:KubeSource",
    "placement": "rq_broker.sources.placement:PlacementSource",
}
"""Kind → module and class."""
EXTRAS: Mapping[str, str] = {"kube": "kube", "placement": "openstack"}
"""Kind → the extra of the package that installs what its module imports."""
COMMON_KEYS = ("type", "kind", "interval", "name")
"""Keys that a table of every kind may have; the others are arguments of the kind's class."""
_NAMED = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


def open_source(table: Mapping[str, Any]) -> Source:
    """Build the source that a TOML table describes.

    Args:
        table: `kind`, and the arguments of the class by name.

    Raises:
        Misconfigured: The kind is not found, or its class does not take these arguments.
    """
    arguments = dict(table)
    kind = arguments.pop("kind", None)
    if not isinstance(kind, str):
        raise Misconfigured(f"a source needs a kind: {_known_kinds()}")
    factory = _class_of(kind)
    expected = signature(factory)
    try:
        expected.bind(**arguments)
    except TypeError as error:
        mistake = _wrong_key(expected, arguments) or error
        raise Misconfigured(f"source {kind}: {mistake}") from None
    return factory(**arguments)


def _wrong_key(expected: Signature, arguments: Mapping[str, Any]) -> str:
    """Say which key of a table its class does not take, or which one it lacks; else ''."""
    parameters = expected.parameters.values()
    named = [each for each in parameters if each.kind in _NAMED]
    known = (*COMMON_KEYS, *(each.name for each in named))
    unknown = [key for key in arguments if key not in known]
    if unknown and all(each.kind is not Parameter.VAR_KEYWORD for each in parameters):
        return f"the key {unknown[0]} is not known; known are {', '.join(known)}"
    required = [each.name for each in named if each.default is Parameter.empty]
    missing = [name for name in required if name not in arguments]
    return f"the key {missing[0]} is required" if missing else ""


def _known_kinds() -> str:
    return f'one of {", ".join(sorted(KINDS))}, or "package.module:Class"'


def _class_of(kind: str) -> Callable[..., Source]:
    module_name, _, class_name = KINDS.get(kind, kind).partition(":")
    if not (module_name and class_name):
        raise Misconfigured(f"source {kind} is no kind; a kind is {_known_kinds()}")
    try:
        module = import_module(module_name)
    except (ImportError, TypeError, ValueError) as error:
        raise Misconfigured(f"source {kind}: {error}{_advice(kind, module_name, error)}") from error
    cls = getattr(module, class_name, None)
    if cls is None:
        raise Misconfigured(f"source {kind}: the module {module_name} has no {class_name}")
    if not (isinstance(cls, type) and issubclass(cls, Source)):
        raise Misconfigured(
            f"source {kind}: {class_name} is not a subclass of rq_broker.sources.Source"
        )
    return cls


def _advice(kind: str, module_name: str, error: Exception) -> str:
    """Return what to do about a module that cannot be imported; empty where nothing is known."""
    if kind in EXTRAS:
        return f"; pip install 'rq-broker[{EXTRAS[kind]}]'"
    package = module_name.partition(".")[0]
    missing = getattr(error, "name", None) or ""
    if missing.partition(".")[0] != package:
        return ""  # the module is there; something that it imports is not
    searched = ", ".join(path or "." for path in sys.path if Path(path).is_dir())
    return f"; install it, or add its directory to PYTHONPATH. Python searched {searched}"
