"""Reads files that may be gzipped."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

_GZIP_MAGIC = b"\x1f\x8b"


class BadLog(Exception):
    """A log cannot be read; the sentence names the file, and the line where one is at fault."""


def read_lines(path: Path) -> list[str]:
    """Return the lines of a file, gzipped or not. Raises BadLog if it cannot be read."""
    try:
        content = path.read_bytes()
        if content.startswith(_GZIP_MAGIC):
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise BadLog(f"{path} cannot be read: {reason}") from None
    # Comments hold names in several encodings; what is read is ASCII.
    return content.decode("ascii", "replace").split("\n")
