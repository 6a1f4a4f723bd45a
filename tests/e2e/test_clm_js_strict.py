"""clm.js under the strictest rules of a page: a Content-Security-Policy, an integrity hash, GPC."""

from __future__ import annotations

import pytest

from tests.support.clm_js import Shop
from tests.support.ingest import IngestProcess

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(180),
]


async def test_a_policy_that_names_only_ingest_is_all_it_needs(shop: Shop) -> None:
    shop.site.policy = (
        f"default-src 'none'; script-src {shop.url}; connect-src {shop.url}; img-src data:; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )
    shop.show('data-capture="clicks scroll forms"', "<button id=buy>Buy</button>")
    said: list[str] = []
    page = await shop.context.new_page()
    page.on("console", lambda it: said.append(it.text))

    await page.goto(shop.site.url)
    await page.click("#buy")

    await shop.until("page", "Element Clicked")
    assert said == []


async def test_such_a_policy_would_stop_a_script_in_the_page(shop: Shop) -> None:
    shop.site.policy = f"script-src {shop.url}"
    shop.show(body="<script>window.ran = true</script>")

    page = await shop.visit()

    assert await page.evaluate("window.ran") is None


async def test_the_version_that_ingest_tells_of_runs_with_its_integrity_hash(
    shop: Shop, process: IngestProcess
) -> None:
    told = (await process.http.get("/v1/script")).json()
    shop.show(f'integrity="{told["integrity"]}" crossorigin="anonymous"', src=told["pinned_url"])

    await shop.visit()

    await shop.until("page")


async def test_a_script_of_another_hash_does_not_run(shop: Shop, process: IngestProcess) -> None:
    told = (await process.http.get("/v1/script")).json()
    wrong = told["integrity"][:-8] + "AAAAAAAA"
    shop.show(f'integrity="{wrong}" crossorigin="anonymous"', src=told["pinned_url"])
    page = await shop.context.new_page()

    async with page.expect_console_message(lambda it: "integrity" in it.text):
        await page.goto(shop.site.url)

    assert await page.evaluate("window.clm") is None


async def test_global_privacy_control_is_passed_over_where_the_page_says_so(shop: Shop) -> None:
    await shop.context.add_init_script(
        "Object.defineProperty(navigator, 'globalPrivacyControl', {value: true})"
    )
    shop.show('data-gpc="ignore"')

    page = await shop.visit()
    await page.evaluate("clm.track('Allowed')")

    await shop.until("page", "Allowed")
