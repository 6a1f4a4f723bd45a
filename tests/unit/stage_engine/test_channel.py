"""The channel of a touchpoint: which of the things it tells decides."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clm_common import catalog
from clm_common.errors import DefinitionError
from clm_stage_engine import definitions
from clm_stage_engine.channel_file import SHIPPED, ChannelFile, shipped, tables
from clm_stage_engine.core.channel import CHANNELS, Channels
from clm_stage_engine.core.fold import Touch
from clm_stage_engine.running import choose
from tests.support.timelines import day, lifecycle, run, touch


def page(url: str = "https://shop.example/", referrer: str = "", **context: object) -> bytes:
    seen = {"url": url, "referrer": referrer}
    return json.dumps({"type": "page", "context": {"page": seen, **context}}).encode()


def channel(body: bytes) -> str | None:
    return shipped().origin(body).channel


@pytest.mark.parametrize(
    ("referrer", "expected"),
    [
        ("https://www.google.com/", "search"),
        ("https://google.co.uk/search?q=x", "search"),
        ("https://www.bing.com/", "search"),
        ("https://duckduckgo.com/", "search"),
        ("https://l.facebook.com/l.php", "social"),
        ("https://t.co/abc", "social"),
        ("https://www.linkedin.com/feed", "social"),
        ("https://chatgpt.com/", "ai-assistant"),
        ("https://www.perplexity.ai/search", "ai-assistant"),
        ("https://gemini.google.com/app", "ai-assistant"),
        ("https://copilot.microsoft.com/", "ai-assistant"),
        ("https://mail.google.com/mail/u/0", "email"),
        ("https://outlook.live.com/", "email"),
        ("https://www.youtube.com/watch", "video"),
        ("https://de.trustpilot.com/review/x", "review"),
        ("https://www.awin1.com/cread.php", "affiliate"),
        ("https://blog.example.org/post", "referral"),
        ("https://google.evil.example/", "referral"),
        ("https://notgoogle.com/", "referral"),
        ("android-app://com.google.android.gm/", "email"),
        ("https://www.shop.example/cart", "internal"),
        ("", "direct"),
        ("not an address", "direct"),
    ],
)
def test_a_referrer_is_known_by_its_host(referrer: str, expected: str) -> None:
    assert channel(page(referrer=referrer)) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("utm_source=google&utm_medium=cpc", "paid-search"),
        ("utm_source=facebook&utm_medium=cpc", "paid-social"),
        ("utm_source=youtube&utm_medium=cpc", "video"),
        ("utm_source=unknown&utm_medium=cpc", "paid-search"),
        ("utm_source=news&utm_medium=email", "email"),
        ("utm_source=NEWS&utm_medium=EMail", "email"),
        ("utm_medium=paid_social", "paid-social"),
        ("utm_medium=sms", "sms"),
        ("utm_medium=push", "push"),
        ("utm_medium=affiliate&utm_source=awin", "affiliate"),
        ("utm_medium=influencer&utm_source=ada", "influencer"),
        ("utm_medium=display", "display"),
        ("utm_medium=something&utm_source=partner.example", "referral"),
        ("utm_source=chatgpt.com", "ai-assistant"),
        ("utm_source=linkedin", "social"),
        ("gclid=abc", "paid-search"),
        ("msclkid=abc", "paid-search"),
        ("fbclid=abc", "social"),
        ("fbclid=abc&utm_medium=cpc&utm_source=fb", "paid-social"),
        ("ttclid=abc", "paid-social"),
        ("dclid=abc", "display"),
        ("irclickid=abc", "affiliate"),
        ("q=abc", "direct"),
    ],
)
def test_an_address_tells_the_campaign(query: str, expected: str) -> None:
    assert channel(page(f"https://shop.example/?{query}")) == expected


def test_a_campaign_comes_before_the_referrer_and_context_before_both() -> None:
    told = page("https://shop.example/?utm_medium=email", "https://www.google.com/")
    named = page("https://shop.example/?utm_medium=email", channel="Paid Social")

    assert channel(told) == "email"
    assert channel(named) == "paid-social"


def test_segments_campaign_is_read_and_its_name_and_content_are_kept() -> None:
    campaign = {"source": "google", "medium": "cpc", "name": "Spring", "content": "blue"}

    origin = shipped().origin(page(campaign=campaign))

    assert (origin.channel, origin.campaign, origin.content) == ("paid-search", "Spring", "blue")


@pytest.mark.parametrize(
    ("event", "properties", "expected"),
    [
        ("Product Reviewed", {}, "review"),
        ("Referral Made", {}, "word-of-mouth"),
        ("Call Received", {}, "phone"),
        ("Live Chat Started", {}, "support"),
        ("Support Ticket Opened", {}, "support"),
        ("Email Opened", {}, "email"),
        ("Message Opened", {"channel": "sms"}, "sms"),
        ("Message Sent", {"channel": "push"}, "push"),
        ("Order Completed", {"channel": "pos"}, "shop"),
        ("Order Completed", {}, None),
        ("Order Completed", {"utm_medium": "email"}, "email"),
    ],
)
def test_an_event_may_say_what_it_came_by(
    event: str, properties: object, expected: str | None
) -> None:
    body = json.dumps({"type": "track", "event": event, "properties": properties}).encode()

    assert channel(body) == expected


OWN = """
key: own
rules:
  - channel: influencer
    when: {source: {starts: "inf-"}}
  - channel: fair
    when: {campaign: [Hannover, Essen], medium: {exists: true}}
sites: {partner.example: affiliate}
mediums: {cpc: display}
"""


def own() -> Channels:
    file = catalog.read(OWN, "own.yaml", ChannelFile).definition
    last = catalog.load(SHIPPED, ChannelFile)["shipped"].definition
    return Channels(tables([file, last]))


def test_a_companys_own_tables_come_first() -> None:
    def asked(url: str, referrer: str = "") -> str | None:
        return own().origin(page(f"https://shop.example/{url}", referrer)).channel

    assert asked("?utm_source=inf-ada&utm_medium=email") == "influencer"
    assert asked("?utm_campaign=Essen&utm_medium=qr") == "fair"
    assert asked("?utm_campaign=Essen") == "direct"
    assert asked("", "https://www.partner.example/") == "affiliate"
    assert asked("?utm_medium=cpc&utm_source=google") == "display"
    assert asked("", "https://www.google.com/") == "search"


def test_a_channel_table_that_cannot_be_read_is_refused_with_its_line() -> None:
    with pytest.raises(DefinitionError) as refused:
        catalog.read(
            "key: own\nrules:\n  - channel: x\n    when: {sauce: y}", "own.yaml", ChannelFile
        )

    assert str(refused.value).startswith("own.yaml:4: rules[0].when.sauce: ")


def test_a_lifecycle_that_runs_reads_the_tables_beside_it(tmp_path: Path) -> None:
    (tmp_path / "channels").mkdir()
    (tmp_path / "channels" / "own.yaml").write_text(OWN, "utf-8")
    (tmp_path / "fairs.yaml").write_text(
        "key: fairs\nstart: a\nstages: [{key: a}, {key: b}]\n"
        "moves: [{from: a, to: b, when: {channel: fair}}]\n",
        "utf-8",
    )

    definition = choose([definitions.SHIPPED, tmp_path], "fairs").lifecycle

    body = page("https://shop.example/?utm_campaign=Essen&utm_medium=qr")
    assert run(definition, Touch(day(0), "m", "page", None, body))[-1] == (0, "b")


def test_every_channel_of_the_shipped_tables_is_listed() -> None:
    known = shipped().tables
    parts = (known.aliases, known.events, known.clicks, known.sites, known.sources)
    named = {name for part in parts for name in part.values()} | {*known.mediums.values()}

    assert named - {"paid"} <= {*CHANNELS}


json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
shapes = st.dictionaries(
    st.sampled_from(["type", "event", "context", "properties"]),
    json_values
    | st.dictionaries(
        st.sampled_from(["page", "campaign", "channel", "url"]), json_values, max_size=4
    ),
)


@given(shapes)
def test_whatever_a_sender_writes_has_a_channel_or_none(body: object) -> None:
    text = json.dumps(body).encode()

    assert shipped().origin(text) == shipped().origin(text)


words = st.sampled_from(["", "email", "google", "https://www.google.com/", "a?gclid=1", "?"])
sent = st.none() | words | st.integers()
events = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["page", "track", "screen", None]),
        "event": st.sampled_from(["Call Received", "Order Completed", None]),
        "context": st.none()
        | st.fixed_dictionaries(
            {},
            optional={
                "channel": sent,
                "source": sent,
                "campaign": st.dictionaries(st.sampled_from(["name", "medium"]), sent, max_size=2),
                "page": st.dictionaries(
                    st.sampled_from(["url", "search", "referrer"]), sent, max_size=3
                ),
            },
        ),
        "properties": st.none()
        | st.dictionaries(
            st.sampled_from(["url", "referrer", "channel", "utm_medium", "utm_campaign"]), sent
        ),
    },
)


@given(events)
def test_the_short_way_for_bare_touchpoints_gives_what_the_long_way_gives(event: object) -> None:
    body = json.dumps(event).encode()
    never = "key: own\nrules: [{channel: x, when: {type: [never]}}]"
    file = catalog.read(never, "own.yaml", ChannelFile).definition
    last = catalog.load(SHIPPED, ChannelFile)["shipped"].definition

    long_way = Channels(tables([file, last])).origin(body)

    assert shipped().origin(body) == long_way


def test_a_campaigns_name_is_kept_in_letters_that_the_database_holds() -> None:
    campaign = {"name": "a\0b" + "c" * 300}

    origin = shipped().origin(page(campaign=campaign))

    assert origin.campaign == "ab" + "c" * 197


@given(st.binary(max_size=40))
def test_what_is_no_json_came_from_nowhere(body: bytes) -> None:
    shipped().origin(body)


def test_a_path_may_depend_on_the_channel() -> None:
    definition = lifecycle(
        "{from: a, to: b, when: {all: [{event: A}, {channel: [email, sms]}]}}",
        "{from: a, to: c, when: {all: [{event: A}, {first: channel, of: 'page:*', eq: display}]}}",
        stages="abc",
    )

    def came(at: float, url: str) -> Touch:
        return Touch(day(at), f"page@{at}", "page", None, page(url))

    mail = touch("A", 2, properties={"channel": "email"})
    paid = came(0, "https://shop.example/?dclid=1"), came(1, "https://shop.example/")
    assert run(definition, *paid, touch("A", 2))[-1] == (2, "c")
    assert run(definition, *reversed(paid), mail)[-1] == (2, "b")
    assert run(definition, paid[1], touch("A", 2))[-1] == (1, "a")
