"""Where capacity comes from. A new source needs nothing but the names exported here.

A source is a subclass of Source with one method, `snapshot`. A `[[source]]` table names it by
`kind = "package.module:Class"`; the table's other keys are the arguments of its constructor.
"""

from rq_broker.domain.capacity import Host
from rq_broker.sources.failures import (
    Faulty,
    Misconfigured,
    Missing,
    Refused,
    SourceFailed,
    Unreachable,
)
from rq_broker.sources.kinds import open_source
from rq_broker.sources.source import Source, SourceSnapshot

__all__ = [
    "Faulty",
    "Host",
    "Misconfigured",
    "Missing",
    "Refused",
    "Source",
    "SourceFailed",
    "SourceSnapshot",
    "Unreachable",
    "open_source",
]
