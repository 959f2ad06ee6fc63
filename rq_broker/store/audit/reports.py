"""Checks what is counted for reports: that it can be read, and that it is bounded and deleted."""

from __future__ import annotations

import re

import msgspec

from rq_broker.domain.report_sums import Level, Sums
from rq_broker.domain.reports import LINE, MOST_OWNERS, OWNERS_SLACK, ReportState, owner_of
from rq_broker.store import records
from rq_broker.store.audit.walk import Walk

_STEP = re.compile(r"(hour|day):\d+")


async def check_reports(walk: Walk) -> None:
    """Report a state or sums that cannot be read, and steps that are listed and not there."""
    text = await walk.client.get(walk.keys.of("report"))
    if text is not None and not _reads(text, ReportState):
        walk.fault("report", "cannot be read, so that counting begins anew from now")
    for step, _ in await walk.entries("reports"):
        fields = records.pairs(await walk.client.hgetall(walk.keys.of("report", step)))
        subject = f"report {step}"
        walk.check(_STEP.fullmatch(step) is not None, subject, "is no hour and no day")
        walk.check(bool(fields), subject, "is listed and not there")
        owners = [group for group in fields if owner_of(group) is not None]
        walk.check(
            len(owners) <= MOST_OWNERS + OWNERS_SLACK, subject, f"names {len(owners)} owners"
        )
        for group, sums in fields.items():
            walk.check(
                _reads(sums, Level if group == LINE else Sums),
                subject,
                f"has sums of {group} that cannot be read",
            )


def _reads(text: str, type_: type) -> bool:
    try:
        msgspec.json.decode(text, type=type_)
    except (msgspec.DecodeError, UnicodeError):
        return False
    return True
