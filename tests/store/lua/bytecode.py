"""Reads compiled Lua 5.1 for the globals it uses, as `luac -l` would list them."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from lupa import lua51

_GET_GLOBAL, _SET_GLOBAL = 5, 7
_NIL, _BOOLEAN, _NUMBER, _STRING = 0, 1, 3, 4
_DUMP = """
local chunk = string.dump(assert(loadstring((...))))
return (chunk:gsub(".", function(byte) return string.format("%02x", byte:byte()) end))
"""
"""Compiles a script; returns the chunk in hexadecimal, since lupa decodes what it returns."""


@dataclass
class _Reader:
    """A cursor over one compiled chunk: ints of 4 bytes, sizes of 8, as on 64-bit machines."""

    code: bytes
    at: int = 12
    read: set[str] = field(default_factory=set)
    written: set[str] = field(default_factory=set)

    def take(self, layout: str) -> int:
        (value,) = struct.unpack_from(f"<{layout}", self.code, self.at)
        self.at += struct.calcsize(f"<{layout}")
        return int(value)

    def text(self) -> str:
        size = self.take("Q")
        self.at += size
        text = self.code[self.at - size : self.at - 1] if size else b""
        return text.decode(errors="backslashreplace")  # a pattern may name bytes that are no text

    def constant(self) -> str:
        kind = self.take("B")
        if kind == _STRING:
            return self.text()
        self.at += {_NIL: 0, _BOOLEAN: 1, _NUMBER: 8}[kind]
        return ""

    def function(self) -> None:
        self.text()
        self.at += 4 + 4 + 4
        instructions = [self.take("I") for _ in range(self.take("I"))]
        constants = [self.constant() for _ in range(self.take("I"))]
        for instruction in instructions:
            operation, name = instruction & 0x3F, instruction >> 14
            if operation == _GET_GLOBAL:
                self.read.add(constants[name])
            elif operation == _SET_GLOBAL:
                self.written.add(constants[name])
        for _ in range(self.take("I")):
            self.function()
        for _ in range(self.take("I")):
            self.at += 4
        for _ in range(self.take("I")):
            self.text()
            self.at += 4 + 4
        for _ in range(self.take("I")):
            self.text()


def globals_of(source: str) -> tuple[set[str], set[str]]:
    """List the globals a script reads and writes, on paths that run and on those that do not."""
    dump = lua51.LuaRuntime(unpack_returned_tuples=False).compile(_DUMP)
    reader = _Reader(bytes.fromhex(str(dump(source))))
    reader.function()
    if reader.at != len(reader.code):
        raise AssertionError("the compiled chunk was not read to its end")
    return reader.read, reader.written
