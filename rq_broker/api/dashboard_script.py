"""Joins the dashboard's modules into one script, as a browser would run them one by one.

Sixty small files compress to 30 KB more than one large file. Each module becomes a function that
returns what it exports, so names of one module are no names of another. A statement of another form
than the page's modules have is refused here, at the first request, and by a test.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from posixpath import dirname, normpath

_NAMES = r"\{(?P<names>[^{}]*)\}"
_IMPORT = re.compile(rf'^(?P<word>import|export) {_NAMES} from "(?P<path>[^"]+)";\n', re.MULTILINE)
"""An import, or an export of what another module exports."""
_EXPORT = re.compile(r"^export (?P<kind>(?:async )?function|const|class) (?P<name>[\w$]+)", re.M)
_OTHER = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)
"""A statement that neither of them matched."""


def join(modules: Mapping[str, str], first: str, folder: str) -> str:
    """Return the text of one module that does what `first` and all that it imports do.

    Args:
        modules: path → text of each module that becomes part of the script. It imports others,
            such as vendored ones.
        first: path of the module that the page loads.
        folder: path of the folder that the script will be served from.

    Raises ValueError for a form of import or export that is not known here, a name that the other
    module does not export, and modules that import each other.
    """
    return _Joining(modules, folder).script(first)


class _Joining:
    """The work of one call of `join`."""

    def __init__(self, modules: Mapping[str, str], folder: str) -> None:
        self._modules = modules
        self._up = "../" * (folder.count("/") + 1)
        self._variables: dict[str, str] = {}
        """Path of a module → the variable that holds what it exports; empty while it is added."""
        self._exported: dict[str, list[str]] = {}
        self._imports: list[str] = []
        self._bodies: list[str] = []

    def script(self, first: str) -> str:
        self._add(first)
        return "".join((*self._imports, *self._bodies))

    def _add(self, path: str) -> str:
        """Add a module, behind those that it imports; return its variable."""
        if path in self._variables:
            if not self._variables[path]:
                raise ValueError(f"{path} imports itself, by others")
            return self._variables[path]
        self._variables[path] = ""
        number = len(self._variables)
        if path in self._modules:
            variable = f"m{number}"
            body = self._body(path)
            exports = ", ".join(self._exported[path])
            self._bodies.append(
                f"const {variable} = (() => {{\n{body}return {{ {exports} }};\n}})();\n"
            )
        else:
            variable = f"vendored{number}"
            self._imports.append(f'import * as {variable} from "{self._up}{path}";\n')
        self._variables[path] = variable
        return variable

    def _body(self, path: str) -> str:
        """Return a module's text, its imports read from variables and its exports taken down."""
        exported = self._exported.setdefault(path, [])

        def read(match: re.Match[str]) -> str:
            source = normpath(f"{dirname(path)}/{match['path']}")
            variable = self._add(source)
            names = [name.strip() for name in match["names"].split(",") if name.strip()]
            for name in names:
                if not name.isidentifier() or name not in self._exported.get(source, names):
                    raise ValueError(f"{path}: {source} exports no {name!r}")
            if match["word"] == "export":
                exported.extend(names)
            return f"const {{ {', '.join(names)} }} = {variable};\n"

        def take_down(match: re.Match[str]) -> str:
            exported.append(match["name"])
            return f"{match['kind']} {match['name']}"

        body = _EXPORT.sub(take_down, _IMPORT.sub(read, self._modules[path]))
        if other := _OTHER.search(body):
            raise ValueError(f"{path}: this cannot be joined: {other[0]}")
        return body
