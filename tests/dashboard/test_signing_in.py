"""Signing in at the page, as a person does: by a token, back to the same place, and out again."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect
from showing import scene

from rq_broker.domain.identity import Role
from rq_broker.domain.tokens import NewToken
from rq_broker.identity import tokens
from rq_broker.identity.tokens import TokenAuthenticator
from rq_broker.store.broker import Broker
from rq_broker.store.connection import in_memory
from tests.dashboard.conftest import PHONE, Watch, app_of, context, served, sideways, violations

REFUSED = "the server responded with a status of 401"
"""What Chromium writes of a refused sign-in, whatever the page does."""


class Lab:
    """The realistic scene behind access control, and a token of each kind."""

    def __init__(self, broker: Broker, url: str) -> None:
        self.broker = broker
        self.url = url
        self.tokens: dict[str, str] = {}

    async def token(self, role: Role, name: str, owners: list[str] | None = None) -> str:
        """Make a token."""
        issued = await tokens.create(self.broker, NewToken(role, name, owners))
        self.tokens[name] = issued.secret
        return issued.secret


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def lab() -> AsyncIterator[Lab]:
    """Serve the scene with tokens."""
    client = in_memory()
    broker = Broker(client)
    await scene.fill(broker)
    async with served(app_of(broker, authenticators=[TokenAuthenticator(broker.token)])) as url:
        lab = Lab(broker, url)
        for role in (Role.OPERATOR, Role.VIEWER, Role.ADMIN):
            await lab.token(role, role.value)
        await lab.token(Role.CLIENT, "client", ["lab-7"])
        yield lab
        broker.events.close()
    await client.aclose()


async def sign_in(page: Page, token: str) -> None:
    """Give a token to the sign-in, by the keyboard alone."""
    await expect(page.get_by_label("Token")).to_be_focused()
    await page.keyboard.insert_text(token)
    await page.keyboard.press("Enter")


async def test_a_token_signs_in_and_leads_back(page: Page, lab: Lab, watch: list[Watch]) -> None:
    """Wrong tokens are told in words; the right one leads to the view of the address, which a
    reload shows again, and no script can read the cookie."""
    watch[0].allow(REFUSED)
    await page.goto(f"{lab.url}/policy/vm")
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert await violations(page) == []
    await sign_in(page, lab.tokens["operator"][:-1] + "!")
    await expect(page.get_by_role("alert")).to_contain_text("copy the whole of it")
    await expect(page.get_by_label("Token")).to_have_attribute("aria-invalid", "true")
    await sign_in(page, tokens.new_secret())
    await expect(page.get_by_role("alert")).to_contain_text("no such token here")
    await sign_in(page, lab.tokens["operator"])
    await expect(page.locator("main h1")).to_be_visible()
    assert page.url == f"{lab.url}/policy/vm"
    await page.reload()
    await expect(page.get_by_label("Signed in as token:operator")).to_be_visible()
    assert await page.evaluate("document.cookie") == ""
    assert "rqb_" not in await page.evaluate("JSON.stringify({...localStorage, ...sessionStorage})")


async def test_signing_out_leaves_nothing(page: Page, lab: Lab, watch: list[Watch]) -> None:
    """After it the page knows nothing, and going back shows the sign-in."""
    watch[0].allow(REFUSED)
    await page.goto(f"{lab.url}/line/vm")
    await sign_in(page, lab.tokens["viewer"])
    await expect(page.get_by_role("grid").get_by_text("notebook-yang")).to_be_visible()
    who = page.get_by_label("Signed in as token:viewer")
    await who.click()
    await expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    assert await violations(page) == []
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    await expect(page.get_by_text("train-0")).to_have_count(0)
    assert page.url == f"{lab.url}/line/vm"


async def test_a_session_that_ends_comes_back_to_the_same_place(
    page: Page, lab: Lab, watch: list[Watch]
) -> None:
    """A token is revoked under an open page: within seconds the sign-in stands before it, and with
    another of the same person what was being written is still there."""
    watch[0].allow(REFUSED, "ERR_", "EventSource")
    first = await lab.token(Role.OPERATOR, "passing")
    await page.goto(f"{lab.url}/policy/vm")
    await sign_in(page, first)
    field = page.get_by_role("searchbox")
    await field.fill("half a wo")
    await lab.broker.revoke_token("passing")
    await expect(page.get_by_text("You were signed out.")).to_be_visible()
    await sign_in(page, await lab.token(Role.OPERATOR, "passing"))
    await expect(page.get_by_text("You were signed out.")).to_have_count(0)
    await expect(field).to_have_value("half a wo")


async def test_the_sign_in_is_for_everyone(browser: Browser, lab: Lab, watch: list[Watch]) -> None:
    """In 繁體中文, in the dark and on a phone it is whole, accessible, and scrolls down only."""
    async with context(
        browser, watch, locale="zh-TW", viewport=PHONE, color_scheme="dark"
    ) as opened:
        page = await opened.new_page()
        await page.goto(f"{lab.url}/hosts/{quote(scene.CJK)}")
        await expect(page.get_by_label("權杖")).to_be_focused()
        assert await violations(page) == []
        assert await sideways(page) == []
        await page.get_by_role("button", name="English").click()
        await expect(page.get_by_label("Token")).to_be_visible()
        await page.get_by_label("Token").focus()
        await sign_in(page, lab.tokens["viewer"])
        await expect(page.get_by_label("Signed in as token:viewer")).to_be_visible()
        assert await sideways(page) == []


@pytest.mark.parametrize("role", ["viewer"])
async def test_a_page_asks_for_nothing_that_is_refused(page: Page, lab: Lab, role: str) -> None:
    """What a viewer and a client may not read, the page does not ask for on their behalf."""
    refusals: list[str] = []
    page.on("response", lambda answer: refusals.append(f"{answer.status} {answer.url}"))
    await page.goto(lab.url)
    await sign_in(page, lab.tokens[role])
    for view in ("", "line/vm", "callbacks/vm"):
        await page.goto(f"{lab.url}/{view}")
        await expect(page.locator("main h1")).to_be_visible()
    assert [refusal for refusal in refusals if refusal.startswith("40")] == []


async def test_a_client_sees_its_own_jobs_and_sizes_of_others(page: Page, lab: Lab) -> None:
    """Its own rows have names; each other place of the line has a size and nothing else."""
    await page.goto(f"{lab.url}/line/vm")
    await sign_in(page, lab.tokens["client"])
    grid = page.get_by_role("grid")
    await expect(grid.get_by_text("fold-batch-7731")).to_be_visible()
    await expect(grid.get_by_text("Another owner’s job").first).to_be_visible()
    others = grid.get_by_role("row").filter(has_text="Another owner’s job")
    assert "VCPU" in await others.first.inner_text()
    shown = await page.locator("body").inner_text()
    whole = next(each for each in await _sums(lab) if each["aggregate"] is None)
    total, taken = whole["capacity"]["VCPU"], whole["held"]["VCPU"] + whole["used"]["VCPU"]
    assert f"{taken:,} / {total:,}" in shown  # once, and not again with its aggregates
    assert "train-0" not in shown
    assert "vision" not in shown


async def _sums(lab: Lab) -> list[dict[str, Any]]:
    """Read what a client is told of the hosts."""
    headers = {"Authorization": f"Bearer {lab.tokens['client']}"}
    async with httpx.AsyncClient(base_url=lab.url, headers=headers) as api:
        answer = await api.get("/types/vm/hosts/")
    sums: list[dict[str, Any]] = answer.json()["data"]
    return sums


async def test_a_client_is_not_told_that_all_is_well(page: Page, lab: Lab) -> None:
    """Who may not read what troubles the types sees no panel that denies it; sums of hosts have
    their unit."""
    await page.goto(lab.url)
    await sign_in(page, lab.tokens["client"])
    await expect(page.get_by_role("region", name="Types")).to_be_visible()
    await expect(page.get_by_text("All is well")).to_have_count(0)
    await page.goto(f"{lab.url}/hosts/vm")
    whole = page.get_by_role("row").filter(has_text="All aggregates")
    await expect(whole).to_contain_text("VCPU free")
    await expect(whole).to_contain_text("GB free")


async def test_a_viewer_is_not_told_that_a_job_needs_nothing(page: Page, lab: Lab) -> None:
    """The size of a job stands in its data, which a viewer does not see; the page says so."""
    await page.goto(f"{lab.url}/line/vm")
    await sign_in(page, lab.tokens["viewer"])
    grid = page.get_by_role("grid")
    await expect(grid.locator(".line-row .size").first).to_have_text(re.compile("not shown"))
    await expect(grid.get_by_text("nothing", exact=True)).to_have_count(0)


BUTTONS = (
    *("Acknowledge", "Add", "Change", "Discard", "Drain", "Drop", "Move", "Nothing is changed"),
    *("Pause", "Put back", "Requeue", "Reset", "Resume", "Review", "Save", "Withdraw"),
)
"""How the names of buttons begin that change something."""
LOOKED_AT = (
    *("", "line/vm", "job/vm/train-001", "job/vm/notebook-yang", "callbacks/vm", "hosts/vm"),
    *("hosts/vm?host=rack-a-001", "reports/vm", "policy/vm", f"line/{scene.BENCH}"),
)


async def offered(page: Page, url: str) -> list[tuple[str, str]]:
    """Return the buttons that change something, each with its view."""
    found = []
    for view in LOOKED_AT:
        await page.goto(f"{url}/{view}")
        await expect(page.locator("main h1")).to_be_visible()
        await expect(page.locator(".sk")).to_have_count(0)
        names = await page.locator("main button, main [role=button]").all_inner_texts()
        found += [(view, name) for name in names if name.strip().startswith(BUTTONS)]
    return found


async def test_a_viewer_is_offered_no_change(page: Page, lab: Lab, watch: list[Watch]) -> None:
    """On no view is there a button that would be refused."""
    watch[0].allow(REFUSED)
    await page.goto(lab.url)
    await sign_in(page, lab.tokens["viewer"])
    await expect(page.locator("main h1")).to_be_visible()
    assert await offered(page, lab.url) == []


@pytest.mark.parametrize("read_only", [False, True])
async def test_with_read_only_nobody_is_offered_a_change(
    page: Page, lab: Lab, read_only: bool
) -> None:
    """The same of an API that refuses every change; without that there are such buttons."""
    async with served(app_of(lab.broker, read_only=read_only)) as url:
        buttons = await offered(page, url)
        await page.goto("about:blank")
    views = {view for view, _ in buttons}
    assert views == (set() if read_only else set(LOOKED_AT))


async def test_a_client_opens_every_view(page: Page, lab: Lab, watch: list[Watch]) -> None:
    """Nothing that a client's pages ask for is refused; of hosts it gets sums without names."""
    watch[0].allow(REFUSED)
    await page.goto(lab.url)
    await sign_in(page, lab.tokens["client"])
    await expect(page.locator("main h1")).to_be_visible()
    refusals: list[str] = []
    page.on("response", lambda answer: refusals.append(f"{answer.status} {answer.url}"))
    for view in (
        "",
        "line/vm",
        "job/vm/fold-batch-7731",
        "callbacks/vm",
        "reports/vm",
        "policy/vm",
    ):
        await page.goto(f"{lab.url}/{view}")
        await expect(page.locator("main h1")).to_be_visible()
        await expect(page.locator(".sk")).to_have_count(0)
        await expect(page.get_by_role("alert")).to_have_count(0)
    await page.goto(f"{lab.url}/hosts/vm")
    await expect(page.get_by_role("rowheader", name="rack-a")).to_be_visible()
    assert "rack-a-001" not in await page.locator("main").inner_text()
    assert [refusal for refusal in refusals if refusal.startswith("4")] == []
