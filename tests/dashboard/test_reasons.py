"""The sentences of reasons that the page makes of codes and values, in both languages."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from playwright.async_api import Page, expect
from showing import scene

from rq_broker.domain.reasons.codes import ReasonCode, ReasonKind
from rq_broker.domain.reasons.reason import Reason
from rq_broker.domain.reasons.values import Where
from rq_broker.domain.reasons.view import ReasonView
from tests.dashboard.conftest import module
from tests.reasons import EXAMPLES, names_in

SAY = r"""async ([reasons, languages]) => {
  const { sentence } = await import("/modules/js/reasons.js");
  const { use } = await import("/modules/js/texts.js");
  const seen = (reason) => sentence(reason).replace(/\u00a0/g, " ");
  return languages.map((language) => { use(language); return reasons.map(seen); });
}"""
ENGLISH, CHINESE = "en", "zh-Hant"


async def _said(page: Page, url: str, reasons: list[Reason]) -> tuple[list[str], list[str]]:
    """Return the sentences that the page makes of reasons, in English and in Chinese."""
    await page.route("**/modules/**", module)
    await page.goto(url)
    views: list[Any] = msgspec.to_builtins([ReasonView.of(each) for each in reasons])
    for view in views:
        view["text"] = "the API's sentence"
    english, chinese = await page.evaluate(SAY, [views, [ENGLISH, CHINESE]])
    return english, chinese


async def test_every_reason_has_a_sentence_in_both_languages(page: Page, lab: str) -> None:
    """Each code and kind with each of its values: nothing is undefined, nothing is the API's."""
    english, chinese = await _said(page, lab, EXAMPLES)
    for example, said, told in zip(EXAMPLES, english, chinese, strict=True):
        for text in (said, told):
            hole = re.search(r"undefined|null|NaN|\{|\}|\[object|the API", text)
            assert text, example
            assert not hole, (example, text)
        assert re.search(r"[\u4e00-\u9fff]", told), told
        assert not re.search(r"[\u4e00-\u9fff]", said), said
        named = names_in(example) if example.kind is not ReasonKind.ALTERNATIVES else set()
        assert not [name for name in named - {"j4"} if name not in said or name not in told]


async def test_the_sentences_are_those_of_the_design(page: Page, lab: str) -> None:
    """What it needs, what there is and where: subject first, sizes as people say them."""
    fit = Reason(
        code=ReasonCode.NO_FIT,
        kind=ReasonKind.MOST_FREE,
        resource="Memory",
        needed=64 * 1024,
        free=48 * 1024,
        host="sm-b-014",
    )
    gang = Reason(
        code=ReasonCode.NO_FIT,
        kind=ReasonKind.INSTANCES,
        instance=(("VCPU", 16),),
        count=8,
        fits=6,
        spread=True,
    )
    limit = Reason(
        code=ReasonCode.OWNER_LIMIT,
        owner="lab-7",
        resource="VCPU",
        needed=8,
        limit=64,
        held=60,
    )
    beyond = Reason(
        code=ReasonCode.IMPOSSIBLE,
        kind=ReasonKind.MOST_FREE,
        resource="VCPU",
        needed=128,
        free=96,
        host="gpu-1",
        where=Where("gpu"),
    )
    next_pass = Reason(code=ReasonCode.NEXT_PASS)
    said, told = await _said(page, lab, [fit, gang, limit, beyond, next_pass])
    assert said == [
        "Each instance needs 64 GB memory; the most free on one host is 48 GB (sm-b-014).",
        "Needs 8 hosts with 16 VCPU free at once; 6 have it now.",
        "lab-7 holds 60 of the 64 VCPU it may hold; this needs 8 more.",
        "No host could ever hold this: needs 128 VCPU on one host (of gpu), the largest has 96 "
        "VCPU (gpu-1).",
        "Not looked at yet: jobs before it were granted just now.",
    ]
    assert told[:2] == [
        "每台需要 64 GB 記憶體，目前單一主機最多剩 48 GB（sm-b-014）。",
        "同時需要 8 台主機各剩 16 VCPU，目前只有 6 台。",
    ]


async def test_a_row_and_a_job_say_why_in_words(page: Page, lab: str) -> None:
    """Each waiting row and the page of a job have the sentence, none of them the API's."""
    await page.goto(f"{lab}/line/{scene.VM}")
    row = page.locator("[role=row]").filter(has_text="the most free on one host is").first
    await expect(row).to_contain_text("Each instance needs")
    await row.locator("a").first.click()
    await expect(page.locator(".reason .say")).to_contain_text("Each instance needs")
