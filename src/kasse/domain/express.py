"""Express: the payer gives an address, chooses among the merchant's ways of shipping, and the amount follows.

Source: checkout reference, sections 3.4, 3.5, 5 and 10.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from kasse.domain import checkout
from kasse.domain.checkout import CheckoutOrder
from kasse.domain.money import MAX_AMOUNT
from kasse.domain.refusals import Refusal
from kasse.domain.session import PaymentSession, with_order

CustomerType = Literal["b2c", "b2b"]
Option = Mapping[str, Any]
Address = Mapping[str, Any]
CORRECTION = "correction-"


class Reply(msgspec.Struct, frozen=True):
    """What a merchant's server answers to an address or to discount codes; amounts as on the wire.

    ``amount`` and ``items`` are those of its ``order``, None where it says nothing about them.
    """

    shipping_options: tuple[dict[str, Any], ...]
    amount: int | None = None
    items: tuple[dict[str, Any], ...] | None = None
    order: dict[str, Any] = {}


class _OptionSaid(msgspec.Struct):
    """What of an option is read here and on the page, besides its names and price."""

    title: str | None = None
    operator: str | None = None
    description: str | None = None
    countries: list[str] | None = None


_Quantity = Annotated[float, Meta(ge=-1e9, le=1e9)] | Annotated[str, Meta(pattern=r"^\d{1,9}(\.\d{1,9})?$(?!\n)")]


class _ItemSaid(msgspec.Struct):
    quantity: _Quantity | None = None


class _OrderSaid(msgspec.Struct):
    merchant_reference_2: str | None = None
    event_reference: str | None = None
    discount_codes: list[str] | None = None
    partial_payment: bool | None = None
    store: dict[str, Any] | None = None


# -- what there is to choose from


def express_of(session: PaymentSession) -> dict[str, Any] | None:
    """The session's express settings, None for one that is not express."""
    express = session.given.get("express")
    return express if isinstance(express, dict) else None


def require_express(session: PaymentSession) -> dict[str, Any]:
    """Raises ``Refusal`` (wrong_state)."""
    express = express_of(session)
    if express is None:
        raise Refusal("wrong_state", f"expected an express session, session {session.id} is none")
    return express


def needs_shipping(express: Mapping[str, Any]) -> bool:
    return express.get("shipping_mode") != "shipping_not_required"


def offered(session: PaymentSession) -> tuple[Option, ...]:
    """The ways of shipping that the payer may choose: those for the country of the address, where one is known."""
    express = express_of(session) or {}
    address = session.checkout_order.get("shipping_address")
    return tuple(option for option in express.get("shipping_options") or () if _goes_to(option, address))


def _goes_to(option: Option, address: Address | None) -> bool:
    countries, country = option.get("countries"), (address or {}).get("country")
    return not countries or country is None or country in countries


def grouped(options: Sequence[Option]) -> list[tuple[Option, ...]]:
    """Options of equal ``id`` together, such as the pick-up points of one carrier, in the order they came."""
    groups: dict[str, list[Option]] = {}
    for option in options:
        groups.setdefault(str(option["id"]), []).append(option)
    return [tuple(group) for group in groups.values()]


def chosen(session: PaymentSession, id: str, line_id: str | None = None) -> Option:
    """The option that a payer names. Only its name is his: amount and title are the merchant's.

    Raises ``Refusal`` (wrong_value) for one that is not offered, or that several go by.
    """
    found = [each for each in offered(session) if str(each["id"]) == id]
    if line_id is not None:
        found = [each for each in found if str(each["line_id"]) == line_id]
    if len(found) != 1:
        names = ", ".join(f"{each['id']}/{each['line_id']}" for each in offered(session))
        got = id if line_id is None else f"{id}/{line_id}"
        raise Refusal(
            "wrong_value",
            f"expected the id and line_id of a shipping option on offer ({names[:200] or 'there is none'}), "
            f"got {got[:100]!r}",
            path="/line_id" if found else "/id",
        )
    return found[0]


# -- addresses


def customer_type(address: Address) -> CustomerType:
    return "b2b" if address.get("organization_number") or address.get("business_name") else "b2c"


def check_address(session: PaymentSession, address: Address, path: str) -> None:
    """Whether the merchant sells to whoever lives there.

    Raises ``Refusal`` (wrong_value): a country that the configuration denies, a kind of customer that is not asked for.
    """
    country = address.get("country")
    countries = session.configuration.get("countries") or {}
    allowed, denied = countries.get("allow_countries") or (), countries.get("deny_countries") or ()
    if country is not None and (country in denied or (allowed and country not in allowed)):
        expected = f"one of {', '.join(allowed)}" if allowed else f"none of {', '.join(denied)}"
        raise Refusal("wrong_value", f"expected a country that is {expected}, got {country!r}", path=f"{path}/country")
    express = express_of(session) or {}
    types = express.get("customer_types") or ("b2c", "b2b")
    if customer_type(address) not in types:
        expected = "a company's address" if "b2b" in types else "a person's address, without a company"
        raise Refusal("wrong_value", f"expected {expected}, got one of {customer_type(address)}", path=path)


def check_billing(session: PaymentSession, shipping: Address | None, billing: Address) -> None:
    """Whether the payer may have the bill sent elsewhere.

    Raises ``Refusal`` (wrong_value): the configuration allows no other billing address to this kind of customer.
    """
    types = session.configuration.get("allow_different_billing_shipping_address") or ()
    if shipping is not None and billing != shipping and customer_type(billing) not in types:
        raise Refusal(
            "wrong_value",
            f"expected the same address for billing and shipping, as this shop asks of {customer_type(billing)}",
            path="/billing_address",
        )


def with_addresses(session: PaymentSession, shipping: Address | None, billing: Address | None) -> PaymentSession:
    """The session with the payer's addresses; a chosen option that does not go there is given up.

    Raises ``Refusal`` (wrong_value).
    """
    order = dict(session.checkout_order)
    if shipping is not None:
        check_address(session, shipping, "/shipping_address")
        order["shipping_address"] = dict(shipping)
    if billing is not None:
        check_address(session, billing, "/billing_address")
        check_billing(session, order.get("shipping_address"), billing)
        order["billing_address"] = dict(billing)
    option = order.get("shipping_option")
    if option is not None and not _goes_to(option, order.get("shipping_address")):
        order = checkout.with_shipping(order, None)
        checkout.check_amount({"amount": order["amount"]}, strict=False)
    return with_order(session, order)


# -- discount codes


def with_discount_codes(session: PaymentSession, codes: Sequence[str]) -> PaymentSession:
    """The session with the payer's codes, not yet with what they take off.

    Raises ``Refusal``: wrong_state (this session takes none), wrong_value (too many, or one twice).
    """
    settings = (express_of(session) or {}).get("discount_codes")
    if not isinstance(settings, dict):
        raise Refusal("wrong_state", f"expected a session that takes discount codes, session {session.id} takes none")
    most = settings.get("max_count", 1)
    if len(codes) > most:
        raise Refusal(
            "wrong_value", f"expected at most {most} discount codes, got {len(codes)}", path="/discount_codes"
        )
    if len(set(codes)) != len(codes):
        raise Refusal("wrong_value", "expected each discount code once", path="/discount_codes")
    return with_order(session, {**session.checkout_order, "discount_codes": list(codes)})


# -- what the merchant answers


def read_reply(raw: Any) -> Reply:
    """The merchant's answer, as JSON, checked. Raises ``Refusal`` (callback_failed)."""
    if not isinstance(raw, dict):
        raise callback_failed("it is no JSON object")
    options = _objects(raw.get("shipping_options"), "shipping_options")
    order = raw.get("order")
    if not isinstance(order, dict | None):
        raise callback_failed("its order is no object")
    order = order or {}
    _check(order, _OrderSaid, "order")
    items = order.get("items")
    try:
        read = checkout.with_line_ids({"items": [] if items is None else _objects(items, "order.items")}, "")
    except Refusal as refusal:
        raise callback_failed(refusal.message) from None
    return Reply(
        shipping_options=tuple(_option(each, f"shipping_options[{n}]") for n, each in enumerate(options)),
        amount=None if order.get("amount") is None else _amount(order["amount"], "order.amount"),
        items=None if items is None else tuple(_item(each, n) for n, each in enumerate(read["items"])),
        order=order,
    )


def _check(said: Any, type_: type[msgspec.Struct], name: str) -> None:
    try:
        msgspec.convert(said, type_)
    except msgspec.ValidationError as error:
        raise callback_failed(f"in its {name}: {error}") from None


def _objects(value: Any, name: str) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise callback_failed(f"its {name} is no list of objects")
    return value


def _item(item: dict[str, Any], n: int) -> dict[str, Any]:
    _check(item, _ItemSaid, f"order.items[{n}]")
    return {**checkout.without_null_quantity(item), "amount": _amount(item.get("amount"), f"order.items[{n}].amount")}


def _option(option: dict[str, Any], name: str) -> dict[str, Any]:
    for field in ("id", "line_id"):
        if not isinstance(option.get(field), str | int) or option[field] in ("", True, False):
            raise callback_failed(f"its {name}.{field} is missing or no text")
    _check(option, _OptionSaid, name)
    amount = _amount(option.get("amount"), f"{name}.amount")
    if amount < 0:
        raise callback_failed(f"its {name}.amount is {amount}")
    return {**option, "id": str(option["id"]), "line_id": str(option["line_id"]), "amount": amount}


def _amount(value: Any, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > MAX_AMOUNT:
        raise callback_failed(f"its {name} is no amount in minor units")
    return value


def with_reply(session: PaymentSession, reply: Reply, correction_id: str, *, discount: bool = False) -> PaymentSession:
    """The session as the merchant's answer leaves it; its amount is what its items and the chosen shipping add up to.

    What the merchant asks for beyond that, or less, becomes a correction item. A chosen option that is not offered any
    more is given up and its price taken off. The lines of an order of ours stay what they are, so an answer that
    changes them is refused. ``discount``: the amount may leave the shipping out.
    Raises ``Refusal`` (callback_failed).
    """
    before = session.checkout_order
    old: Option | None = before.get("shipping_option")
    new = next((each for each in reply.shipping_options if old is not None and _same(each, old)), None)
    if new is not None and not _goes_to(new, before.get("shipping_address")):
        new = None
    express = {**(express_of(session) or {}), "shipping_options": [dict(each) for each in reply.shipping_options]}
    changed = msgspec.structs.replace(session, given={**session.given, "express": express})
    items = _without_corrections(before.get("items") or ()) if reply.items is None else list(reply.items)
    known = {str(item.get("line_id")) for item in items}
    if any(each["line_id"] in known for each in reply.shipping_options):
        raise callback_failed("a shipping option has the line_id of an item")
    if len({each["line_id"] for each in reply.shipping_options}) != len(reply.shipping_options):
        raise callback_failed("two shipping options have the same line_id")
    if session.order is not None:
        _require_same_lines(before, reply)
        return with_order(changed, checkout.with_shipping(before, new))
    if reply.amount is None and reply.items is None:
        return with_order(changed, _possible(checkout.with_shipping(before, new)))
    order = {**before, **_kept(reply.order), "items": items}
    included = _included(old, new, discount=discount)
    asked = checkout.items_sum(order) + included[0] if reply.amount is None else reply.amount
    beyond = asked - checkout.items_sum(order)
    if beyond not in included:
        items.append(_correction(correction_id, beyond - included[0]))
    order["amount"] = checkout.items_sum(order)
    order.pop("shipping_option", None)
    return with_order(changed, _possible(checkout.with_shipping(order, new)))


def _possible(order: dict[str, Any]) -> dict[str, Any]:
    """The same. Without its shipping, an order of which something was taken off may come to less than nothing."""
    if not 0 <= order["amount"] <= MAX_AMOUNT:
        raise callback_failed(f"the amount would be {order['amount']}")
    return order


def _included(old: Option | None, new: Option | None, *, discount: bool) -> list[int]:
    """How much of the merchant's amount may be shipping; the first is what it should be."""
    prices = [option["amount"] for option in (new, old) if option is not None] or [0]
    return [*prices, 0] if discount or (old is not None and new is None) else prices


def _same(one: Option, other: Option) -> bool:
    return (str(one["id"]), str(one["line_id"])) == (str(other["id"]), str(other["line_id"]))


_NOT_THE_MERCHANTS = (
    "amount",
    "items",
    "currency",
    "merchant_reference",
    "shipping_option",
    "shipping_address",
    "billing_address",
)


def _kept(order: Mapping[str, Any]) -> dict[str, Any]:
    """What an answer may say about the order besides its amounts."""
    return {name: value for name, value in order.items() if name not in _NOT_THE_MERCHANTS}


def _without_corrections(items: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [dict(item) for item in items if not str(item.get("id") or "").startswith(CORRECTION)]


def _correction(id: str, amount: int) -> dict[str, Any]:
    name = f"{CORRECTION}{id}"
    return {"id": name, "line_id": name, "amount": amount, "quantity": 1, "description": "Correction"}


def _require_same_lines(order: CheckoutOrder, reply: Reply) -> None:
    lines = checkout.items_sum(order)
    if reply.items is not None and not checkout.same_lines(reply.items, order.get("items") or ()):
        raise callback_failed("its items are not the lines of the order that this session pays")
    if reply.amount is not None and reply.amount not in (lines, lines + checkout.shipping_amount(order)):
        raise callback_failed(
            f"its amount is {reply.amount}, the lines of the order that this session pays are {lines}"
        )


def callback_failed(why: str) -> Refusal:
    """The merchant's server did not say what can be used."""
    return Refusal("callback_failed", f"expected an answer of the merchant's server that can be used: {why}")
