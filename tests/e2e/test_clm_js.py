"""clm.js in a real Chromium, on a shop's own origin, against a running ingest: nothing is lost."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Request, Route

from tests.support.clm_js import Shop, name_of
from tests.support.ingest import IngestProcess

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(180),
]

MESSY = {"text": "x" * 8_000}


async def test_a_visit_is_a_page_view_with_all_that_led_there(shop: Shop) -> None:
    query = "?utm_source=news&utm_medium=email&utm_campaign=spring&gclid=g-1"

    page = await shop.visit(f"/boots{query}", referer="https://search.example/find")
    await page.evaluate("clm.track('Product Viewed', {price: 12.5})")

    view, viewed = await shop.until("page", "Product Viewed")
    assert view["properties"]["path"] == "/boots"
    assert view["properties"]["title"] == "Shop"
    for event in (view, viewed):
        context = event["context"]
        assert context["campaign"] == {"source": "news", "medium": "email", "name": "spring"}
        assert context["clickIds"] == {"gclid": "g-1"}
        assert context["referrer"] == {"url": "https://search.example/find"}
        assert context["firstTouch"]["campaign"]["source"] == "news"
        assert context["library"]["name"] == "clm.js"
        assert context["page"]["url"] == f"{shop.site.url}/boots{query}"
        assert "Chrome" in context["userAgent"]
        assert event["anonymousId"] == view["anonymousId"]
    assert viewed["properties"] == {"price": 12.5}


async def test_calls_made_before_the_script_is_there_are_made_up_for(shop: Shop) -> None:
    early = """<script>
        clm = window.clm || [];
        clm.push(["identify", "u-1", {plan: "gold"}]); clm.push(["track", "Early"]);
    </script>"""
    shop.site.pages["/"] = early + shop.site.pages["/"]

    await shop.visit()

    events = {name_of(it): it for it in await shop.until("page", "identify", "Early")}
    assert events["identify"]["traits"] == {"plan": "gold"}
    assert events["Early"]["userId"] == "u-1"
    assert events["page"]["userId"] is None


async def test_who_somebody_is_is_kept_until_it_is_reset(shop: Shop) -> None:
    page = await shop.visit()
    await page.evaluate("clm.identify('u-1', {name: 'Ada'}); clm.group('g-1', {size: 3})")
    await page.close()
    page = await shop.visit()
    await page.evaluate("clm.alias('u-2'); clm.track('Known'); clm.reset(); clm.track('New')")

    events = await shop.until("page", "page", "identify", "group", "alias", "Known", "New")
    found = {name_of(it): it for it in events}
    assert (found["group"]["groupId"], found["group"]["traits"]) == ("g-1", {"size": 3})
    assert (found["alias"]["userId"], found["alias"]["previousId"]) == ("u-2", "u-1")
    assert found["Known"]["userId"] == "u-1"
    assert found["New"]["userId"] is None
    assert found["New"]["anonymousId"] != found["Known"]["anonymousId"]
    assert found["Known"]["anonymousId"] == found["identify"]["anonymousId"]


async def test_an_app_of_a_single_page_has_a_view_for_each_address(shop: Shop) -> None:
    page = await shop.visit("/")
    await page.evaluate("history.pushState({}, '', '/cart'); document.title = 'Cart'")
    await page.wait_for_timeout(50)
    await page.evaluate("history.pushState({}, '', '/cart')")
    await page.wait_for_timeout(50)
    await page.go_back()
    await page.wait_for_timeout(50)
    await page.go_back()

    views = await shop.until("page", "page", "page")
    assert [it["properties"]["path"] for it in views] == ["/", "/cart", "/"]
    assert views[1]["properties"]["title"] == "Cart"


async def test_page_views_can_be_left_to_the_page(shop: Shop) -> None:
    shop.show('data-pages="off"')

    page = await shop.visit()
    await page.evaluate("clm.page('Shop', 'Start', {shelf: 1})")

    (view,) = await shop.until("page")
    assert view["name"] == "Start"
    assert view["category"] == "Shop"
    assert view["properties"]["shelf"] == 1


async def test_nothing_is_lost_when_a_click_leads_elsewhere_or_the_tab_is_closed(
    shop: Shop,
) -> None:
    page = await shop.visit()
    await page.evaluate("clm.track('Left'); location.href = '/next'")
    await page.wait_for_url("**/next")
    await page.wait_for_function("window.clm && !Array.isArray(window.clm)")
    await page.evaluate("clm.track('Closed')")
    await page.close(run_before_unload=True)

    await shop.until("page", "Left", "page", "Closed")


async def test_more_than_a_browser_takes_at_the_end_is_sent_by_the_next_page(shop: Shop) -> None:
    page = await shop.visit()
    names = [f"E{number}" for number in range(12)]
    await page.evaluate(
        """([names, facts]) => addEventListener("pagehide",
            () => names.forEach((it) => clm.track(it, facts)))""",
        [names, MESSY],
    )
    await page.close(run_before_unload=True)
    await shop.visit()

    await shop.until("page", "page", *names)


async def test_what_is_done_without_a_network_is_sent_when_it_is_back(shop: Shop) -> None:
    page = await shop.visit()
    await shop.until("page")
    await shop.context.set_offline(True)
    await page.evaluate("for (let n = 0; n < 30; n++) clm.track(`Offline ${n}`)")
    await page.wait_for_timeout(700)
    await shop.context.set_offline(False)

    await shop.until("page", *(f"Offline {number}" for number in range(30)))


async def test_what_a_page_that_was_left_without_a_network_had_to_say_is_sent_by_the_next(
    shop: Shop,
) -> None:
    page = await shop.visit()
    await shop.until("page")
    await shop.context.set_offline(True)
    await page.evaluate("clm.track('Offline')")
    await page.goto("about:blank")
    await shop.context.set_offline(False)
    await shop.visit()

    await shop.until("page", "page", "Offline")


async def test_a_source_that_takes_less_at_once_gets_everything_in_smaller_parts(
    shop: Shop,
) -> None:
    sizes: list[int] = []

    async def narrow(route: Route) -> None:
        sizes.append(len(json.loads(route.request.post_data or "")["batch"]))
        if sizes[-1] <= 3:
            await route.continue_()
        else:
            await route.fulfill(
                status=413,
                headers={"access-control-allow-origin": shop.site.url},
                json={"code": "batch.too_long"},
            )

    await shop.context.route("**/v1/batch", narrow)
    page = await shop.visit()
    await shop.until("page")
    await page.evaluate("for (let n = 0; n < 20; n++) clm.track(`E${n}`)")

    await shop.until("page", *(f"E{number}" for number in range(20)))
    assert max(sizes) > 3


async def test_a_page_that_is_loaded_before_anybody_asks_for_it_is_seen_when_they_do(
    shop: Shop,
) -> None:
    await shop.context.add_init_script(
        "window.early = true;"
        "Object.defineProperty(document, 'prerendering', {get: () => window.early})"
    )
    page = await shop.context.new_page()
    await page.goto(shop.site.url, wait_until="networkidle")
    early = await shop.landed()

    await page.evaluate("early = false; document.dispatchEvent(new Event('prerenderingchange'))")

    await shop.until("page")
    assert early == []


async def test_a_page_that_comes_back_whole_is_seen_again(shop: Shop) -> None:
    page = await shop.visit()
    event = "new PageTransitionEvent('pageshow', {persisted: true})"
    await page.evaluate(f"dispatchEvent({event})")

    await shop.until("page", "page")


async def test_a_server_that_asks_to_wait_gets_everything_later_and_once(shop: Shop) -> None:
    busy = [503, 429, 503]

    async def hold(route: Route) -> None:
        if not busy:
            await route.continue_()
            return
        await route.fulfill(
            status=busy.pop(),
            headers={
                "access-control-allow-origin": shop.site.url,
                "access-control-expose-headers": "Retry-After",
                "retry-after": "1",
            },
            body="{}",
        )

    await shop.context.route("**/v1/batch", hold)
    page = await shop.visit()
    await page.evaluate("clm.track('Kept')")

    await shop.until("page", "Kept")
    assert not busy


async def test_before_consent_nothing_is_kept_or_sent(shop: Shop) -> None:
    shop.show('data-consent="required"')
    asked: list[str] = []

    def note(request: Request) -> None:
        if request.url.startswith(shop.url):
            asked.append(urlsplit(request.url).path)

    shop.context.on("request", note)

    page = await shop.visit()
    await page.evaluate("clm.track('Early')")
    await page.wait_for_timeout(400)
    kept = await page.evaluate("[Object.keys(localStorage).length, document.cookie]")
    assert kept == [0, ""]
    assert asked == ["/clm.js"]

    await page.evaluate("clm.consent(true)")
    events = await shop.until("page", "Early")
    assert len({it["anonymousId"] for it in events}) == 1


@pytest.mark.parametrize("signal", ["refusal", "global privacy control"])
async def test_after_a_refusal_nothing_is_kept_or_sent(shop: Shop, signal: str) -> None:
    if signal == "refusal":
        page = await shop.visit()
        await shop.until("page")
        await page.evaluate("clm.consent(false)")
        expected = ["page"]
    else:
        await shop.context.add_init_script(
            "Object.defineProperty(navigator, 'globalPrivacyControl', {value: true})"
        )
        page = await shop.visit()
        expected = []

    await page.evaluate("clm.track('Secret'); clm.identify('u-1')")
    await page.reload()
    await page.evaluate("clm.track('Secret')")
    await page.wait_for_timeout(500)

    kept = await page.evaluate("Object.keys(localStorage).filter((it) => it != 'clm-consent')")
    assert kept == []
    assert "clm" not in await page.evaluate("document.cookie")
    assert [name_of(it) for it in await shop.landed()] == expected


async def test_segments_snippet_loads_it_and_its_calls_land(
    shop: Shop, process: IngestProcess
) -> None:
    key = await process.create_source("snippet")
    shop.site.pages["/"] = f"""<title>Shop</title><script>
        var analytics = window.analytics = [];
        analytics.methods = ["identify", "track", "page", "on", "ready"];
        analytics.methods.forEach(function (name) {{ analytics[name] = function () {{
            var rest = Array.prototype.slice.call(arguments);
            rest.push({{__t: "bpc", p: location.pathname}});
            analytics.push([name].concat(rest)); }}; }});
        analytics._writeKey = "{key}"; analytics._cdn = "{shop.url}";
        analytics.page(); analytics.identify("u-1"); analytics.on("track", function () {{}});
        analytics.track("Snipped", {{n: 1}});
        var tag = document.createElement("script"); tag.async = true;
        tag.src = analytics._cdn + "/analytics.js/v1/{key}/analytics.min.js";
        document.head.appendChild(tag);
        </script>"""

    page = await shop.context.new_page()
    await page.goto(shop.site.url)

    events = {name_of(it): it for it in await shop.until("page", "identify", "Snipped")}
    assert events["Snipped"]["properties"] == {"n": 1}
    assert events["Snipped"]["userId"] == "u-1"


FORM = """
<main style="height: 4000px"><h1>Boots</h1>
  <button id=buy style="width: 200px; height: 100px">Buy</button>
  <form id=signup onsubmit="return false">
    <input name=email type=email> <input name=secret type=password>
    <span data-clm-ignore><input name=hush></span> <button>Send</button></form></main>
"""


async def test_clicks_rage_scrolling_and_forms_are_captured_without_what_was_typed(
    shop: Shop,
) -> None:
    shop.show('data-capture="clicks scroll forms" data-pages="off"', FORM)
    page = await shop.visit()

    await page.click("#buy", position={"x": 50, "y": 25}, click_count=3, delay=10)
    await page.focus("[name=email]")
    await page.keyboard.type("ada@example.com")
    await page.focus("[name=secret]")
    await page.keyboard.type("hunter2")
    await page.focus("[name=hush]")
    await page.keyboard.type("quiet words")
    await page.evaluate("scrollTo(0, document.documentElement.scrollHeight * 0.4)")
    await page.wait_for_timeout(100)
    await page.close(run_before_unload=True)

    events = await shop.until(
        *["Element Clicked"] * 3,
        "Rage Clicked",
        "Form Started",
        "Form Field Left",
        *["Scroll Depth Reached"] * 2,
        "Form Abandoned",
    )
    facts = {name_of(it): it["properties"] for it in events}
    click = facts["Element Clicked"]
    assert click["selector"] == "#buy"
    assert (click["x"], click["y"]) == pytest.approx((0.25, 0.25), abs=0.02)
    assert facts["Rage Clicked"]["clicks"] == 3
    assert facts["Form Started"] == {"form": "#signup", "field": "email"}
    assert facts["Form Field Left"]["filled"] is True
    assert facts["Form Field Left"]["duration"] >= 0
    assert facts["Form Abandoned"]["fields"] == ["email"]
    assert {it["properties"].get("depth") for it in events if "Scroll" in name_of(it)} == {25, 50}
    written = json.dumps(events)
    assert not any(it in written for it in ("ada@example.com", "hunter2", "quiet words", "hush"))


async def test_a_broken_call_is_never_the_pages_trouble(shop: Shop) -> None:
    page = await shop.visit()
    await page.evaluate(
        "const it = {}; it.it = it; clm.track('Round', it); clm.push(['nonsense']); clm.track('On')"
    )

    await shop.until("page", "On")
