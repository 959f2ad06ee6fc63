"""What a view looks like where it is empty, fails, loads, asks, or is not to be seen yet."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from playwright.async_api import Page, Route

from showing import scene

Act = Callable[[Page], Awaitable[None]]
"""Brings a page into its state, before or after it was opened."""

_SLOW_MS = 240_000
"""What a preview may take on a loaded machine."""
AWAY_MS = 12_000
"""What the page takes to say that the API is away, and some."""
_NO_ROWS = """{ const real = fetch;
  const never = new Promise(() => {});
  window.fetch = (url, ...rest) => `${url}`.includes("from=") ? never : real(url, ...rest); }"""
_ERROR = {
    "error": "Redis does not answer",
    "code": "redis_unavailable",
    "ok": False,
}


class State(NamedTuple):
    """A state of the page, and how it comes about."""

    path: str
    """Below the URL of the page."""
    at: str = "lab"
    """Which broker it shows: `lab`, the scene; `new`, with nothing but a type; `bare`, with
    nothing; `guarded`, behind access control."""
    before: Act | None = None
    """Done before the page is opened."""
    after: Act | None = None
    """Done once it is."""
    is_loading: bool = False
    """Whether skeletons stay."""
    is_whole: bool = False
    """Whether all of the page is pictured though something was done; else what a window shows."""


def _refused(part: str) -> Act:
    """Answer what the page reads at this part of the API with an error."""

    async def refuse(route: Route) -> None:
        await route.fulfill(status=503, json=_ERROR, headers={"X-Request-ID": "7f3a1c09"})

    async def act(page: Page) -> None:
        await page.route(lambda url: url.endswith(part), refuse)

    return act


async def _silent(page: Page) -> None:
    """Let the list of jobs never be answered."""
    await page.add_init_script(_NO_ROWS)


async def _no_events(page: Page) -> None:
    await page.route("**/events*", lambda route: route.abort())


async def _offline(page: Page) -> None:
    await page.context.set_offline(True)
    await page.wait_for_timeout(AWAY_MS)


async def happen(page: Page) -> None:
    """Let jobs come and go, for the overview to tell of it."""
    for number in range(3):
        body = {
            "request_id": f"影像-{number}",
            "owner_id": "實驗室",
            "data": {"instances": [{"VCPU": 12}]},
        }
        await page.request.post(f"{page.url}v1/{scene.CJK}/", data=body)
        await page.request.delete(f"{page.url}v1/{scene.CJK}/{body['request_id']}")


async def _to_front(page: Page) -> None:
    row = page.locator(".line-row", has_text="fold-batch-7731")
    await row.focus()
    await page.keyboard.press("Space")
    await page.keyboard.press("Home")
    await page.keyboard.press("Space")
    await page.locator(".sum").wait_for(timeout=_SLOW_MS)


async def _lifted(page: Page) -> None:
    await page.locator(".line-row", has_text="fold-batch-7731").focus()
    await page.keyboard.press("Space")
    await page.keyboard.press("3")


async def _selected(page: Page) -> None:
    await page.locator(".line-row[data-index='2']").focus()
    for key in ("x", "ArrowDown", "x", "ArrowDown", "ArrowDown", "x"):
        await page.keyboard.press(key)


async def _withdrawn(page: Page) -> None:
    await _selected(page)
    await page.locator(".bulk .btn[data-kind=bad]").click()
    await page.locator("dialog .named").wait_for()


async def _menu(page: Page) -> None:
    await page.locator(".line-row[data-index='3']").focus()
    await page.keyboard.press("m")


async def _keys(page: Page) -> None:
    await page.keyboard.press("?")


async def _more_hosts(page: Page) -> None:
    await page.locator(".more-form .btn").click()
    await page.locator(".more-form + .stack").wait_for(timeout=_SLOW_MS)
    await page.locator(".more-form").scroll_into_view_if_needed()


async def _test(page: Page) -> None:
    await page.locator(".dest .actions .btn").first.click()
    await page.locator("dialog[open]").wait_for()


async def _refused_token(page: Page) -> None:
    await page.locator("#signin-token").fill("rqb_" + "a" * 43)
    await page.keyboard.press("Enter")
    await page.locator(".err .i").wait_for()


async def _compact(page: Page) -> None:
    await page.add_init_script("localStorage.setItem('compact', '1')")


STATES = {
    "overview-none": State("", "bare"),
    "line-none": State("line/new", "new"),
    "hosts-none": State("hosts/new", "new"),
    "callbacks-test": State(f"callbacks/{scene.VM}", after=_test),
    "callbacks-none": State("callbacks/new", "new"),
    "reports-none": State("reports/new", "new"),
    "audit-none": State("audit/new", "new"),
    "line-nomatch": State(f"line/{scene.VM}?find=no-such-job&owner=lab-9"),
    "line-compact": State(f"line/{scene.VM}", before=_compact),
    "line-loading": State(f"line/{scene.VM}", before=_silent, is_loading=True),
    "line-selected": State(f"line/{scene.VM}", after=_selected),
    "line-withdraw": State(f"line/{scene.VM}", after=_withdrawn),
    "line-lifted": State(f"line/{scene.VM}", after=_lifted),
    "line-preview": State(f"line/{scene.VM}", after=_to_front),
    "line-menu": State(f"line/{scene.VM}", after=_menu),
    "line-keys": State(f"line/{scene.VM}", after=_keys),
    "host": State(f"hosts/{scene.VM}?host=rack-a-003"),
    "hosts-fit": State(f"hosts/{scene.VM}?fit=VCPU:16"),
    "hosts-error": State(f"hosts/{scene.VM}", before=_refused("/hosts/")),
    "overview-away": State("", before=_no_events, after=_offline),
    "reports-more": State(f"reports/{scene.VM}", after=_more_hosts),
    "sign-in": State("", "guarded"),
    "sign-in-refused": State("", "guarded", after=_refused_token),
}
