"""What ends an attempt before a response is complete, besides TimeoutError and other OSErrors.

OSError
├── ForbiddenAddress
└── NameLookupFailed
Exception
└── MalformedResponse
"""

from __future__ import annotations


class ForbiddenAddress(OSError):
    """The egress rules do not let this address be dialled."""


class NameLookupFailed(OSError):
    """The name server has no address for the name, or did not say."""


class MalformedResponse(Exception):
    """The receiver sent something that is not an HTTP/1.1 response, or too much of one."""
