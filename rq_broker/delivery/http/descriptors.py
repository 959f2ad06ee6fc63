"""Tells this process's own lack of file descriptors from the faults of receivers."""

from __future__ import annotations

import errno
import logging
import os
import resource

from rq_broker.delivery.http.errors import NameLookupFailed

log = logging.getLogger(__name__)

_LACKING = (errno.EMFILE, errno.ENFILE)
"""What a system call answers where the process, or the whole system, has no descriptor left."""


class Descriptors:
    """Whether the last dials lacked a descriptor, told in the log when that changes."""

    def __init__(self) -> None:
        self._lacking = False

    def caused(self, error: Exception) -> bool:
        """Return whether an attempt ended for lack of a descriptor; logs the first of a series.

        The resolver does not say why it could not ask, and dials to several addresses may end
        with several errors: whether a descriptor can be had now decides then.
        """
        if not isinstance(error, OSError):
            return False
        is_unclear = isinstance(error, NameLookupFailed) or error.errno is None
        if error.errno not in _LACKING and not (is_unclear and are_exhausted()):
            return False
        if not self._lacking:
            limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
            log.error(
                "no file descriptor is left (limit %s): callbacks are handed back untried, and no"
                " receiver is blamed; raise the limit or lower --concurrency",
                limit,
            )
        self._lacking = True
        return True

    def note_success(self) -> None:
        """Note that an attempt reached its receiver."""
        if self._lacking:
            log.info("file descriptors are free again: callbacks are sent")
            self._lacking = False


def are_exhausted() -> bool:
    """Return whether the process, or the whole system, has no descriptor left now."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error.errno in _LACKING
    return False
