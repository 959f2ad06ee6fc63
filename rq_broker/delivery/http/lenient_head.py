"""Reads the head of a response that the strict parser refuses, or that ends early.

A receiver that says `200` has taken the job, whatever its next header is. So the status line counts
wherever it is whole, read as leniently as RFC 9112 lets a recipient: a bare LF ends a line (section
2.2), any white space separates words (4), a folded line belongs to the one before it (5.2). Where
the response ends stays open, so its connection is closed: no byte can be another response.
"""

from __future__ import annotations

import re

_BLANKS = re.compile(rb"[ \t\v\f\r\n]*")
_STATUS_LINE = re.compile(rb"HTTP/1\.[0-9][ \t\v\f\r]+([1-9][0-9]{2})(?:[ \t\v\f\r][^\n]*)?\n")
_HEAD_END = re.compile(rb"\n\r?\n")
_FOLD = re.compile(rb"\r?\n[ \t]+")
_RETRY_AFTER = re.compile(rb"\nretry-after[ \t]*:([^\n]*)(?=\n)", re.IGNORECASE)
_VERSION = b"HTTP/1."


class LenientHead:
    """The head of one response, which grows as it arrives; interim responses are skipped."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._start = 0
        """Where the status line begins, or will begin."""
        self._line_end = 0
        """Where the status line ends; 0 until it is complete."""
        self.status = 0
        """The final status; 0 until its line is complete."""
        self.is_malformed = False
        """Whether what arrived cannot be the beginning of a response."""

    def feed(self, data: bytes) -> bool:
        """Add bytes; returns whether the head of the final response is complete."""
        searched = max(len(self._received) - 2, 0)
        self._received += data
        while not self.is_malformed:
            # 1. Find the status line.
            if not self._line_end and not self._find_status_line():
                return False
            # 2. Find the blank line that ends the head.
            end = _HEAD_END.search(self._received, max(searched, self._line_end - 1))
            if end is None:
                return False
            if self.status:
                return True
            # 3. Go on behind the head of an interim response.
            self._start, self._line_end = end.end(), 0
        return False

    def _find_status_line(self) -> bool:
        blanks = _BLANKS.match(self._received, self._start)
        self._start = blanks.end() if blanks else self._start
        line = _STATUS_LINE.match(self._received, self._start)
        if line is None:
            opening = bytes(self._received[self._start : self._start + len(_VERSION)])
            is_whole_line = self._received.find(b"\n", self._start) >= 0
            self.is_malformed = is_whole_line or not _VERSION.startswith(opening)
            return False
        status = int(line[1])
        self.is_malformed = status == 101  # another protocol follows
        self.status = status if status >= 200 else 0
        self._line_end = line.end()
        return not self.is_malformed

    @property
    def retry_after(self) -> str | None:
        """The first Retry-After whose line is complete, as it was sent."""
        if not self.status:
            return None
        head_end = _HEAD_END.search(self._received, self._line_end - 1)
        end = head_end.end() if head_end else len(self._received)
        fields = _FOLD.sub(b" ", bytes(self._received[self._line_end - 1 : end]))
        match = _RETRY_AFTER.search(fields)
        return match[1].decode("latin-1").strip() if match else None
