"""The root of the tree of refusals."""

from __future__ import annotations

from collections.abc import Mapping


class BrokerError(Exception):
    """The root. Its text is a sentence for people; `code` is for programs, `status` for HTTP.

    Args:
        sentence: The text.
        details: What stands beside the sentence in the envelope of an answer, such as `same`.
    """

    status = 500
    code = "error"
    remedy = ""
    """What to do about it: a line of Markdown, as on the pages of api/docs. Each class has one."""
    retry_after: int | None = None
    """Seconds until a caller should repeat the call; None where a repetition changes nothing."""

    def __init__(self, sentence: str = "", **details: object) -> None:
        super().__init__(sentence)
        self.details: Mapping[str, object] = details
