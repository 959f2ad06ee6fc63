"""The audit log: who changed what, before and after, filtered by the address."""

from __future__ import annotations

from playwright.async_api import Page, expect

from tests.dashboard.asking import send


async def test_a_change_is_told_with_before_and_after(url: str, page: Page) -> None:
    """A line says who changed which field from what to what, and leads to what was changed."""
    await send(url, "PATCH", "/types/vm", {"patience": 60})
    await page.goto(f"{url}/audit/vm")
    row = page.get_by_role("row").nth(1)
    await expect(row).to_contain_text("anyone")
    await expect(row).to_contain_text("changed the policy")
    await expect(row).to_contain_text("patience 300 → 60")
    await row.get_by_role("link", name="vm").click()
    await expect(page).to_have_url(f"{url}/policy/vm")


async def test_lines_are_filtered_paged_and_new_ones_are_offered(url: str, page: Page) -> None:
    """A filter stands in the address; older lines come on demand, new ones are offered."""
    jobs = [{"request_id": f"j{n}", "owner_id": "o", "data": {}} for n in range(60)]
    await send(url, "POST", "/types/vm/jobs", {"jobs": jobs})
    await send(url, "PUT", "/types/vm/hosts/h1", {"capacity": {"VCPU": 1}})
    await page.goto(f"{url}/audit/vm")
    rows = page.get_by_role("row")
    await expect(rows).to_have_count(51)
    await page.get_by_role("button", name="Older lines").click()
    await expect(rows).to_have_count(62)
    await page.get_by_label("What was done").select_option("set_host")
    await expect(rows).to_have_count(2)
    await expect(page).to_have_url(f"{url}/audit/vm?verb=set_host")
    await page.reload()
    await expect(rows).to_have_count(2)
    await send(url, "PUT", "/types/vm/hosts/h2", {"capacity": {"VCPU": 1}})
    await page.get_by_role("button", name="New lines. Show").click()
    await expect(rows).to_have_count(3)
    await page.get_by_role("searchbox", name="Who").fill("nobody")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("No line matches the filter.")).to_be_visible()
