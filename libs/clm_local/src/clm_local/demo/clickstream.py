"""From the clickstream's rows to the calls a website would make with Segment's SDK. Pure.

A visitor is anonymous until the first visit to the account or entry on the wish list, where one
signs in: there an identify tells who it is, and every later call carries both ids.
Nothing is random: the same row and shift always give the same call, with the same message id, so
sending all of it twice changes nothing.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Literal

from msgspec import Struct

from clm_common import instant
from clm_local.demo.dataset import Row

SIGNS_IN: Final = frozenset({"account_page", "cart", "compare", "shipping_details"})
"""The events that nobody can make without saying who they are."""

CAMPAIGNS: Final = {
    "organic": {"source": "search", "medium": "organic"},
    "paid_search": {"name": "electronics-brand", "source": "search", "medium": "cpc"},
    "email": {"name": "newsletter", "source": "newsletter", "medium": "email"},
    "social": {"name": "unboxing", "source": "social", "medium": "social"},
}
"""What brought a visit about, as `context.campaign`; who comes directly has none."""

PRODUCTS: Final = (
    ("phone-6", "Phone 6", 449_00),
    ("phone-6-mini", "Phone 6 mini", 329_00),
    ("tablet-11", "Tablet 11", 279_00),
    ("headphones-nc", "Noise-cancelling headphones", 189_00),
    ("speaker-go", "Speaker Go", 79_00),
    ("watch-fit", "Fitness watch", 119_00),
    ("charger-65", "Charger 65 W", 39_00),
    ("cable-usb-c", "USB-C cable", 19_00),
    ("e-reader-7", "E-reader 7", 129_00),
    ("camera-door", "Doorbell camera", 99_00),
)
"""The shop's products: id, name, price in cents."""

MESSAGES: Final = "ecom-"
"""How the message ids begin."""

Properties = dict[str, Any]  # Any: JSON


class Call(Struct, frozen=True):
    """One call of the SDK.

    Attributes:
        kind: the method.
        message_id: derived from the row; sorts like (row, place within the row).
        time: when it happened, µs.
        anonymous_id: the visitor's browser.
        user_id: the customer, once signed in.
        name: the event's or page's name; None for an identify.
        properties: facts about the event, or the person's traits for an identify.
        context: where it happened.
    """

    kind: Literal["identify", "page", "track"]
    message_id: str
    time: int
    anonymous_id: str
    user_id: str | None
    name: str | None
    properties: Properties
    context: Properties


def calls(rows: Iterable[Row], *, shift: int) -> Sequence[Call]:
    """Give the calls of all rows in the order of their times; ties in the order of the rows.

    Args:
        rows: the clickstream.
        shift: whole days, in µs, to move it by; see `shift_to`.
    """
    known: set[str] = set()
    made: list[Call] = []
    for row in sorted(rows, key=lambda it: (it.time, it.number)):
        if row.event in SIGNS_IN and row.person not in known:
            known.add(row.person)
            made.append(_identify(row, shift))
        made.append(_event(row, shift, is_known=row.person in known))
    return made


def shift_to(last: int, now: int) -> int:
    """Give the shift, in whole days as µs, that brings `last` as near to now as is not ahead."""
    return (now - last) // instant.DAY * instant.DAY


def browser_of(person: str) -> str:
    """Give the anonymous id of a person's browser."""
    return f"browser-of-{person}"


def email_of(person: str) -> str:
    """Give a person's made-up address."""
    return f"{person}@example.com"


def revenue(row: int) -> int:
    """Give an order's total in cents, from the number of its row: some 19 to 279 euros."""
    return 19_00 + _dice("order", row) % 260_00


def _identify(row: Row, shift: int) -> Call:
    number = int(row.person.removeprefix("user_"))
    traits = {
        "email": email_of(row.person),
        "name": f"{FIRST_NAMES[number % len(FIRST_NAMES)]} Example",
        "firstName": FIRST_NAMES[number % len(FIRST_NAMES)],
    }
    return _call("identify", row, shift, place=0, user_id=row.person, name=None, facts=traits)


def _event(row: Row, shift: int, *, is_known: bool) -> Call:
    kind, name, facts = EVENTS[row.event]
    user_id = row.person if is_known else None
    return _call(kind, row, shift, place=1, user_id=user_id, name=name, facts=facts(row))


def _call(  # noqa: PLR0913 - the parts of one call
    kind: Literal["identify", "page", "track"],
    row: Row,
    shift: int,
    *,
    place: int,
    user_id: str | None,
    name: str | None,
    facts: Properties,
) -> Call:
    context: Properties = {"device": {"type": row.platform}, "sessionId": row.session}
    if campaign := CAMPAIGNS.get(row.channel):
        context["campaign"] = dict(campaign)
    return Call(
        kind,
        f"{MESSAGES}{row.number:05d}-{place}",
        row.time + shift,
        browser_of(row.person),
        user_id,
        name,
        facts,
        context,
    )


def _page(path: str) -> Callable[[Row], Properties]:
    return lambda _: {"path": path, "url": f"https://shop.example.com{path}"}


def _product(row: Row) -> Properties:
    key, name, cents = PRODUCTS[_dice("product", row.number) % len(PRODUCTS)]
    return {"product_id": key, "name": name, "price": cents / 100, "currency": "EUR"}


def _step(step: int) -> Callable[[Row], Properties]:
    return lambda row: {"checkout_id": row.session, "step": step}


def _order(row: Row) -> Properties:
    total = revenue(row.number) / 100
    order = f"order-{row.number:05d}"
    return {"order_id": order, "checkout_id": row.session, "revenue": total, "currency": "EUR"}


def _reason(text: str) -> Callable[[Row], Properties]:
    return lambda row: {"checkout_id": row.session, "reason": text}


def _session(row: Row) -> Properties:
    return {"session_id": row.session}


def _search(row: Row) -> Properties:
    return {"query": PRODUCTS[_dice("query", row.number) % len(PRODUCTS)][1].lower()}


def _review(row: Row) -> Properties:
    rating = 3 + _dice("rating", row.number) % 3
    return {"product_id": _product(row)["product_id"], "rating": rating}


def _dice(purpose: str, row: int) -> int:
    return zlib.crc32(f"{purpose} {row}".encode())


EVENTS: Final[dict[str, tuple[Literal["page", "track"], str, Callable[[Row], Properties]]]] = {
    "home": ("page", "Home", _page("/")),
    "promo_page": ("page", "Promotion", _page("/promo")),
    "account_page": ("page", "Account", _page("/account")),
    "error_page": ("page", "Error", _page("/error")),
    "catalog": ("track", "Product List Viewed", lambda _: {"list_id": "catalog"}),
    "filter_results": ("track", "Product List Filtered", lambda _: {"list_id": "catalog"}),
    "search": ("track", "Products Searched", _search),
    "product_view": ("track", "Product Viewed", _product),
    "compare": ("track", "Products Compared", _product),
    "wishlist_add": ("track", "Product Added to Wishlist", _product),
    "add_to_cart": ("track", "Product Added", _product),
    "cart": ("track", "Cart Viewed", lambda row: {"cart_id": row.session}),
    "shipping_details": ("track", "Checkout Step Viewed", _step(1)),
    "payment_details": ("track", "Checkout Step Viewed", _step(2)),
    "payment_error": ("track", "Payment Failed", _reason("validation")),
    "checkout_bug": ("track", "Checkout Failed", _reason("back button")),
    "purchase": ("track", "Order Completed", _order),
    "review_page": ("track", "Product Reviewed", _review),
    "support_chat": ("track", "Live Chat Conversation Started", _session),
}
"""What a website would call, by the file's word; names follow Segment's specs if there is one."""

FIRST_NAMES: Final = (
    "Ada",
    "Ben",
    "Chloe",
    "Dario",
    "Emma",
    "Farid",
    "Greta",
    "Hugo",
    "Ines",
    "Jon",
)
